//! A bound on the depth of expressions, which DataFusion walks recursively.

use std::ops::ControlFlow;

use anyhow::{Result, bail};
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr, Visit, Visitor};

/// The most operators that an expression nests, and the most queries of a chain of UNIONs: few enough for the stacks of
/// the program's threads. The parser bounds parentheses and calls, but not chains of operators.
const MOST: usize = 2000;

/// An error if an expression of the statement is too deep.
pub fn check(statement: &Statement) -> Result<()> {
    let mut depth = Depth(0);
    let visited = match statement {
        Statement::Statement(statement) => statement.visit(&mut depth),
        Statement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => query.visit(&mut depth),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::Explain(explain) => return check(&explain.statement),
        _ => ControlFlow::Continue(()),
    };
    if visited.is_break() {
        bail!(
            "an expression of more than {MOST} operators, or a UNION of more than {MOST} queries, is too deep: join with \
             a table of the values, use IN for many alternatives, or divide the query"
        );
    }
    Ok(())
}

/// The depth of the expression that is visited.
struct Depth(usize);

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.0 += 1;
        if self.0 > MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.0 -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let (mut body, mut queries) = (&query.body, 1);
        while let SetExpr::SetOperation { left, .. } = body.as_ref() {
            (body, queries) = (left, queries + 1);
        }
        if queries > MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn is_refused(sql: &str) -> bool {
        let statements = DFParser::parse_sql(sql).unwrap();
        check(&statements[0]).is_err()
    }

    #[test]
    fn long_chains_are_refused_and_wide_statements_are_not() {
        let chain = |operators: usize| vec!["v"; operators].join(" + ");
        let values = format!("SELECT v IN ({})", vec!["1"; 10 * MOST].join(", "));
        for sql in [format!("SELECT {} FROM t", chain(MOST - 1)), values] {
            assert!(!is_refused(&sql));
        }
        let long = chain(MOST + 1);
        for sql in [
            format!("SELECT {long} FROM t"),
            format!("SELECT 1 FROM t WHERE id IN (SELECT {long} FROM u)"),
            format!("COPY (SELECT {long} FROM t) TO 'x.csv'"),
            format!("EXPLAIN SELECT {long} FROM t"),
            format!("CREATE VIEW w AS SELECT {long} FROM t"),
            vec!["SELECT 1"; MOST + 1].join(" UNION ALL "),
        ] {
            assert!(is_refused(&sql), "{}", &sql[..40]);
        }
    }
}
