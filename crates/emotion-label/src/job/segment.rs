//! Labels of rows that follow each other in a row group, by their names in the journal.

/// Labels of rows that follow each other in a row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    pub row_group: usize,
    pub first_row: u64,
    pub rows: u64,
}

impl Segment {
    pub fn name(self) -> String {
        format!("{:06}-{:012}-{:07}", self.row_group, self.first_row, self.rows)
    }

    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let segment = Self { row_group: usize::try_from(number()?).ok()?, first_row: number()?, rows: number()? };
        (segment.name() == name).then_some(segment)
    }
}

/// The segments that follow each other without a gap from the start of each row group.
pub fn contiguous(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.sort_unstable();
    let mut next = (0, 0);
    segments.retain(|segment| {
        if segment.row_group != next.0 {
            next = (segment.row_group, 0);
        }
        let follows = segment.first_row == next.1;
        next.1 = if follows { next.1.saturating_add(segment.rows) } else { next.1 };
        follows
    });
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_known_by_their_names() {
        let segment = Segment { row_group: 3, first_row: 2048, rows: 512 };
        assert_eq!(Segment::parse(&segment.name()), Some(segment));
        assert_eq!(Segment::parse("done.json"), None);
        assert_eq!(Segment::parse("3-2048-512"), None);
    }

    #[test]
    fn segments_behind_a_gap_are_left_out() {
        let segment = |row_group, first_row, rows| Segment { row_group, first_row, rows };
        let kept = [segment(0, 0, 2), segment(0, 2, 3), segment(2, 0, 1)];
        let mut all = vec![segment(1, 4, 2), segment(2, 5, 1), segment(0, 6, 1)];
        all.extend(kept);
        assert_eq!(contiguous(all), kept);
    }
}
