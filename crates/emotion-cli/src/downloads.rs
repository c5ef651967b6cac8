//! The progress of downloads from the hub, as a bar on a terminal.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;

use emotion_classifier::{Download, observe_downloads};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Smaller files have no bar: they are here before it can be read.
const LEAST: u64 = 1_000_000;

/// Shows a bar for each large file that is downloaded, if the standard error is a terminal.
pub fn show() {
    if !stderr().is_terminal() {
        return;
    }
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    observe_downloads(move |download| {
        if let Ok(mut bar) = bar.lock() {
            update(&mut bar, download);
        }
    });
}

fn update(bar: &mut Option<ProgressBar>, download: &Download) {
    if download.size < LEAST {
        return;
    }
    let message = download.to_string();
    if bar.as_ref().is_some_and(|bar| bar.message() != message) {
        *bar = None;
    }
    let shown = bar.get_or_insert_with(|| {
        let template = "{bar:25} {percent}% {msg}, {decimal_bytes} of {decimal_total_bytes}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template is right");
        let bar = ProgressBar::with_draw_target(Some(download.size), ProgressDrawTarget::stderr());
        bar.with_style(style).with_message(message)
    });
    shown.set_position(download.bytes);
    if download.bytes >= download.size {
        shown.finish_and_clear();
        *bar = None;
    }
}
