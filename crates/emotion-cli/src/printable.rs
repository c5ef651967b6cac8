//! Text from elsewhere, such as names of files, as a terminal may show it.

use std::borrow::Cow;

/// The text without characters that move the cursor, change colours or hide text; lines and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_command) {
        return Cow::Borrowed(text);
    }
    let shown = |character: char| {
        let code = format!("\\u{{{:x}}}", u32::from(character));
        if is_command(character) { code } else { character.to_string() }
    };
    text.chars().map(shown).collect::<String>().into()
}

fn is_command(character: char) -> bool {
    let is_bidirectional = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_bidirectional || (character.is_control() && !matches!(character, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_to_a_terminal_are_spelled_out() {
        assert_eq!(printable("a\tb\n\u{e9}"), "a\tb\n\u{e9}");
        assert_eq!(printable("\u{1b}[31mred\r\u{9b}0m\u{202e}"), "\\u{1b}[31mred\\u{d}\\u{9b}0m\\u{202e}");
    }
}
