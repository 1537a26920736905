//! Splices: cut ranges out of a text and put others in, everything else stays as it is.

use super::scan::Span;

/// Replace `cut` by the bytes `put` of a side buffer. An empty `cut` inserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    pub cut: Span,
    pub put: Span,
}

/// One member of an object or element of an array, for [`remove_marked`].
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Key to value, without the comma.
    pub span: Span,
    pub remove: bool,
}

/// Edits that remove the marked items of one object or array together with exactly the commas that must go.
pub fn remove_marked(items: &[Item], edits: &mut Vec<Edit>) {
    let mut nth = 0;
    while nth < items.len() {
        if !items[nth].remove {
            nth += 1;
            continue;
        }
        let run_end = items[nth..].iter().position(|item| !item.remove).map_or(items.len(), |len| nth + len);
        let cut = match (items.get(run_end), nth.checked_sub(1)) {
            (Some(next), _) => Span::new(items[nth].span.start, next.span.start),
            (None, Some(previous)) => Span::new(items[previous].span.end, items[run_end - 1].span.end),
            (None, None) => Span::new(items[nth].span.start, items[run_end - 1].span.end),
        };
        edits.push(Edit { cut, put: Span::default() });
        nth = run_end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every subset of the members of an object of up to five, against building the object anew.
    #[test]
    fn every_subset_of_members_can_go() {
        for count in 0..=5usize {
            let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\": {n}")).collect();
            let text = format!("{{ {} }}", members.join(" , "));
            for removed in 0..1u32 << count {
                let mut at = 2;
                let items: Vec<Item> = (0..count)
                    .map(|n| {
                        let span = Span::new(at, at + members[n].len());
                        at = span.end + 3;
                        Item { span, remove: removed >> n & 1 == 1 }
                    })
                    .collect();
                let mut edits = vec![];
                remove_marked(&items, &mut edits);
                let mut out = text.clone();
                for edit in edits.iter().rev() {
                    out.replace_range(edit.cut.start..edit.cut.end, "");
                }
                let read: serde_json::Value = serde_json::from_str(&out).unwrap();
                let kept: Vec<usize> = (0..count).filter(|n| removed >> n & 1 == 0).collect();
                assert_eq!(read.as_object().unwrap().len(), kept.len(), "{out}");
                assert!(kept.iter().all(|n| read[format!("k{n}")] == *n), "{out}");
            }
        }
    }
}
