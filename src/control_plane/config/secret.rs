//! Where a secret's text comes from: written out, `env:NAME` or `file:PATH`. Errors never quote it.

use std::io::Read as _;

use super::environment::Environment;
use crate::base::bounds::SECRET_BYTES_MAX;
use crate::base::secret::Secret;

/// The secret itself, which fits into a header field: visible ASCII, not empty.
pub(super) fn resolve(text: &str, environment: &Environment) -> Result<Secret, String> {
    let text = text.trim();
    let found = if let Some(name) = text.strip_prefix("env:") {
        environment
            .get(name)
            .ok_or_else(|| format!("names the environment variable {name}, which is not set"))?
            .to_owned()
    } else if let Some(path) = text.strip_prefix("file:") {
        read(path).map_err(|error| format!("names the file {path}, which cannot be read: {error}"))?
    } else {
        text.to_owned()
    };
    let found = found.trim();
    if found.is_empty() {
        return Err("is an empty secret".to_owned());
    }
    if found.len() > SECRET_BYTES_MAX {
        return Err(format!("is a secret of more than {SECRET_BYTES_MAX} bytes"));
    }
    if !found.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("is a secret with a blank, a control or a non-ASCII character in it".to_owned());
    }
    Ok(Secret::new(found))
}

fn read(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than allowed, so that the caller sees that it was too much; a line end does not count against it.
    std::fs::File::open(path)?.take(SECRET_BYTES_MAX as u64 + 16).read_to_string(&mut text)?;
    Ok(text)
}
