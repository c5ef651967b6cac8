//! Where models are downloaded from and kept, as the environment says.

use std::path::PathBuf;
use std::time::Duration;

/// How long Python's `huggingface_hub` waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where models are downloaded from and kept.
pub(crate) struct Settings {
    pub cache: PathBuf,
    pub endpoint: String,
    pub token: Option<String>,
    pub is_offline: bool,
    /// How long a server may send nothing.
    pub timeout: Duration,
}

impl Settings {
    /// The settings that the environment of this process describes.
    pub(crate) fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// The settings that these environment variables describe.
    ///
    /// - The cache: `HF_HUB_CACHE`, or else `HUGGINGFACE_HUB_CACHE`, or else the folder `hub` of `HF_HOME`, which is by
    ///   default the folder `huggingface` of `XDG_CACHE_HOME` or of `~/.cache`.
    /// - The token: `HF_TOKEN`, or else `HUGGING_FACE_HUB_TOKEN`, or else the file that `HF_TOKEN_PATH` names, by
    ///   default `token` in `HF_HOME`.
    /// - The address of the hub: `HF_ENDPOINT`.
    /// - Nothing is downloaded if `HF_HUB_OFFLINE`, or else `TRANSFORMERS_OFFLINE`, is `1`, `true`, `yes` or `on`.
    /// - The timeout in seconds: `HF_HUB_DOWNLOAD_TIMEOUT`.
    ///
    /// Source: `constants.py` and `utils/_auth.py` of `huggingface_hub` 0.36.
    pub(crate) fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let user = std::env::home_dir().unwrap_or_default();
        let path = |name: &str| {
            variable(name).map(|value| value.strip_prefix("~/").map_or(PathBuf::from(&value), |rest| user.join(rest)))
        };
        let home = path("HF_HOME")
            .unwrap_or_else(|| path("XDG_CACHE_HOME").unwrap_or_else(|| user.join(".cache")).join("huggingface"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = variable("HF_TOKEN")
            .or_else(|| variable("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| std::fs::read_to_string(token_file).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let offline = variable("HF_HUB_OFFLINE").or_else(|| variable("TRANSFORMERS_OFFLINE")).unwrap_or_default();
        let seconds = variable("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|seconds| seconds.parse().ok());
        Self {
            cache: path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| home.join("hub")),
            endpoint: variable("HF_ENDPOINT")
                .map_or_else(|| "https://huggingface.co".into(), |address| address.trim_end_matches('/').into()),
            token,
            is_offline: ["1", "true", "yes", "on"].contains(&offline.to_ascii_lowercase().as_str()),
            timeout: seconds.filter(|seconds| *seconds > 0).map_or(TIMEOUT, Duration::from_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::of(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_cache_is_where_python_keeps_it() {
        let home = std::env::home_dir().unwrap();
        for (variables, cache) in [
            (&[][..], home.join(".cache/huggingface/hub")),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub".into()),
            (&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/h/hub".into()),
            (&[("HF_HOME", "~/h")], home.join("h/hub")),
            (&[("HUGGINGFACE_HUB_CACHE", "/g"), ("HF_HOME", "/h")], "/g".into()),
            (&[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/g"), ("HF_HOME", "/h")], "/c".into()),
        ] {
            assert_eq!(settings(variables).cache, cache, "{variables:?}");
        }
    }

    #[test]
    fn the_token_the_address_and_the_network() {
        let folder = TempDir::new().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        std::fs::write(folder.path().join("other"), "hf_other").unwrap();
        let other = format!("{home}/other");
        assert_eq!(settings(&[("HF_HOME", home)]).token.as_deref(), Some("hf_file"));
        assert_eq!(settings(&[("HF_HOME", home), ("HF_TOKEN_PATH", &other)]).token.as_deref(), Some("hf_other"));
        assert_eq!(settings(&[("HF_HOME", home), ("HF_TOKEN", " hf_x ")]).token.as_deref(), Some("hf_x"));
        assert_eq!(settings(&[("HF_HOME", "/none")]).token, None);
        assert_eq!(settings(&[("HF_ENDPOINT", "https://mirror.example/")]).endpoint, "https://mirror.example");
        for (value, is_offline) in [("1", true), ("ON", true), ("0", false), ("no", false)] {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)]).is_offline, is_offline);
            assert_eq!(settings(&[("TRANSFORMERS_OFFLINE", value)]).is_offline, is_offline);
        }
    }

    #[test]
    fn the_timeout_is_that_of_python() {
        assert_eq!(settings(&[]).timeout, TIMEOUT);
        assert_eq!(settings(&[("HF_HUB_DOWNLOAD_TIMEOUT", "3")]).timeout, Duration::from_secs(3));
        for wrong in ["0", "-1", "soon"] {
            assert_eq!(settings(&[("HF_HUB_DOWNLOAD_TIMEOUT", wrong)]).timeout, TIMEOUT);
        }
    }
}
