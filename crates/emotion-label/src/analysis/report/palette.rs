//! The colors of the labels: the same for the same label in every report.

/// Names of `page.css`, `--emotion-NAME`. The colors of two of them differ in lightness where color-blind readers
/// cannot tell their hues.
const EMOTIONS: [&str; 9] = ["sadness", "joy", "love", "anger", "fear", "surprise", "disgust", "neutral", "none"];

/// Colors of labels that are none of [`EMOTIONS`], `--other-0` and so on; further labels begin again with the first.
const OTHERS: usize = 6;

/// A CSS color for each label, in the order of the labels.
pub(crate) fn colors<'a>(labels: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut others = (0..OTHERS).cycle();
    let color = |label: &str| match EMOTIONS.iter().find(|emotion| emotion.eq_ignore_ascii_case(label)) {
        Some(emotion) => format!("var(--emotion-{emotion})"),
        None => format!("var(--other-{})", others.next().unwrap_or_default()),
    };
    labels.into_iter().map(color).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_one_color_and_the_page_defines_it() {
        let (few, many) = (colors(["Joy", "gratitude"]), colors(["relief", "anger", "joy", "none"]));
        assert_eq!(few, ["var(--emotion-joy)", "var(--other-0)"]);
        assert_eq!(many, ["var(--other-0)", "var(--emotion-anger)", "var(--emotion-joy)", "var(--emotion-none)"]);
        let style = include_str!("../page.css");
        let other = (0..OTHERS).map(|id| format!("--other-{id}:"));
        for name in EMOTIONS.iter().map(|emotion| format!("--emotion-{emotion}:")).chain(other) {
            assert!(style.contains(&name), "{name}");
        }
    }
}
