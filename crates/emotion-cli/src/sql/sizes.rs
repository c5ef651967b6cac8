//! Sizes of memory and disk in arguments.

/// Reads a number of bytes such as `512m` or `10g`, in powers of 1,024.
pub fn size(text: &str) -> Result<usize, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(0),
        "k" | "kb" => Some(10),
        "m" | "mb" => Some(20),
        "g" | "gb" => Some(30),
        "t" | "tb" => Some(40),
        _ => None,
    };
    let bytes = shift.and_then(|shift| number.parse::<usize>().ok()?.checked_mul(1 << shift));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| "it must be a number of bytes such as 512m or 10g".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_powers_of_1024() {
        for (text, bytes) in [("1b", 1), ("5", 5), ("2K", 2 << 10), ("3mb", 3 << 20), ("4g", 4 << 30), ("1t", 1 << 40)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "g", "0g", "-1g", "1x", "1.5g", "99999999999t", "1 g"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
