use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;

/// An expression over the output of a node in terms of its input; `None` if `exprs`, which compute the output, do more
/// than rename the columns of the expression.
pub(super) fn over_input(expr: &Expr, output: &DFSchema, exprs: &[Expr]) -> Result<Option<Expr>> {
    let mut renamed_only = true;
    let below = expr.clone().transform(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let source = output.maybe_index_of_column(column).map(|index| exprs[index].clone().unalias_nested().data);
        if let Some(source @ Expr::Column(_)) = source {
            return Ok(Transformed::yes(source));
        }
        renamed_only = false;
        Ok(Transformed::no(expr))
    })?;
    Ok(renamed_only.then_some(below.data))
}
