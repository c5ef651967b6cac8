//! Names of models on the hub.

/// Names of the Spark NLP hub, and the models from which those models were made.
const ALIASES: [(&str, &str); 1] =
    [("distilbert_sequence_classifier_emotion", "bhadresh-savani/distilbert-base-uncased-emotion")];

/// A model of the hub at a revision, which is checked: it can be part of a path and of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HubId<'a> {
    /// `owner/name`.
    pub name: &'a str,
    /// A branch, a tag or a commit.
    pub revision: &'a str,
}

impl<'a> HubId<'a> {
    /// Splits `owner/name` or `owner/name@revision`, or says what is wrong with it.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        if !is_name(name) {
            return Err("it is not an id: give owner/name, or owner/name@revision".into());
        }
        if !is_revision(revision) {
            return Err(format!("{revision:?} is not a revision: give a branch, a tag or a commit"));
        }
        Ok(Self { name, revision })
    }
}

/// The hub id that `text` is, or for which it stands; `None` if it is neither.
///
/// An id is `owner/name` with an optional `@revision`: one slash, and parts that begin with a letter or digit.
pub(crate) fn resolve(text: &str) -> Option<&str> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == text).map(|(_, id)| *id);
    let name = text.split_once('@').map_or(text, |(name, _)| name);
    alias.or_else(|| is_name(name).then_some(text))
}

fn is_name(name: &str) -> bool {
    let is_plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split_once('/').is_some_and(|(owner, name)| is_plain(owner) && is_plain(name))
}

/// Whether git takes the name for a branch, a tag or a commit.
///
/// Source: `git help check-ref-format`.
fn is_revision(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none();
    name.split('/').all(is_part)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c))
}

/// Whether `name` can be the hash of a commit.
pub(crate) fn is_commit(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_ids_are_told_from_paths() {
        for id in ["a/b", "bhadresh-savani/distilbert-base-uncased-emotion", "a/b@v1.0"] {
            assert_eq!(resolve(id), Some(id));
        }
        for path in ["a", "./a", "../a/b", "/a/b", "a/b/c", "a/", "C:\\a"] {
            assert_eq!(resolve(path), None, "{path}");
        }
    }

    #[test]
    fn names_of_spark_nlp_are_aliases() {
        let id = resolve("distilbert_sequence_classifier_emotion");
        assert_eq!(id, Some("bhadresh-savani/distilbert-base-uncased-emotion"));
    }

    #[test]
    fn revisions_are_names_that_git_takes() {
        for revision in ["main", "v1.0", "refs/pr/3", "0123abc", "feature/x_y"] {
            let id = format!("a/b@{revision}");
            assert_eq!(HubId::parse(&id), Ok(HubId { name: "a/b", revision }));
        }
        for revision in
            ["", "..", "../main", "/etc", "a/", "a//b", "a/./b", "a/../b", ".a", "a\\b", "a\0", "a b", "a?b", "x.lock"]
        {
            let message = HubId::parse(&format!("a/b@{revision}")).unwrap_err();
            assert!(message.contains("is not a revision"), "{message}");
        }
        assert_eq!(HubId::parse("a/b"), Ok(HubId { name: "a/b", revision: "main" }));
        assert!(HubId::parse("a/../b").unwrap_err().contains("not an id"));
    }
}
