use datafusion::error::DataFusionError;

/// The error and its causes, without those that an outer message repeats.
pub fn message(error: &anyhow::Error) -> String {
    let first = match error.downcast_ref() {
        Some(DataFusionError::External(ours)) => ours.to_string(),
        _ => error.to_string(),
    };
    error.chain().skip(1).fold(first, |message, cause| {
        let cause = cause.to_string();
        if message.contains(&cause) { message } else { format!("{message}: {cause}") }
    })
}
