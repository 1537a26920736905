//! YAML text, read within a bound.

use serde_norway::Value as Tree;

use crate::base::bounds::CONFIG_BYTES_MAX;

/// One YAML document within the size that is allowed. Keys given twice are errors, so are several documents.
pub(super) fn parse(text: &str) -> Result<Tree, String> {
    if text.len() > CONFIG_BYTES_MAX {
        return Err(format!("is larger than {CONFIG_BYTES_MAX} bytes"));
    }
    match serde_norway::from_str(text) {
        Ok(tree) => Ok(tree),
        // A file without anything but comments.
        Err(_) if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) => {
            Ok(Tree::Null)
        }
        Err(error) => Err(format!("is not valid YAML: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_yaml_must_not_do() {
        for text in ["a: 1\na: 2\n", "a: {b: 1, b: 2}", "a: [", "a: 1\n---\nb: 2\n", "a: *b", "\t- x", "a: &x [*x]"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse("").is_ok_and(|tree| tree.is_null()));
        assert!(parse("# only this\n\n").is_ok_and(|tree| tree.is_null()));
        let duplicate = parse("a: 1\nworkers: 1\nworkers: 2\n").unwrap_err();
        assert!(duplicate.contains("workers"), "{duplicate}");
    }

    #[test]
    fn an_alias_bomb_ends_early() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let inner = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![inner; 10].join(",")));
        }
        assert!(parse(&text).is_err());
    }
}
