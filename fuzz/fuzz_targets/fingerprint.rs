//! The reader behind the cache's key against serde_json: what it reads is JSON, and the same value written plainly by
//! serde_json has the same key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use thinkgate::policy::fingerprint::{Fingerprinter, InstallKey, Scope, Uncacheable};
use thinkgate::wire::answer::Kind;

/// The order of a schema's `properties` is the order in which a model writes them.
fn order_counts(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| {
            let several = value.as_object().is_some_and(|properties| properties.len() > 1);
            name == "properties" && several || order_counts(value)
        }),
        Value::Array(elements) => elements.iter().any(order_counts),
        _ => false,
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, body)) = data.split_first() else { return };
    let kind = Kind::ALL[usize::from(how & 7) % Kind::ALL.len()];
    let scope =
        Scope { tenant: b"t", route: b"r", credential: b"", profile: b"", model: None, kind, sampled: how & 8 == 0 };
    let mut maker = Fingerprinter::new(InstallKey([7; 32]));
    let print = maker.fingerprint(&scope, body);
    let inputs = maker.inputs(&scope, body);
    assert_eq!(maker.fingerprint(&scope, body), print, "what was read before doesn't matter");
    let tree = serde_json::from_slice::<Value>(body);
    match (print, tree) {
        (Err(Uncacheable::Unreadable), Err(_)) => assert!(inputs.is_empty()),
        (_, Err(error)) => panic!("{print:?}, but {error}"),
        // Read by serde_json alone: an integer of more than 64 bits, too deep, or messages that are none.
        (Err(_), Ok(_)) => {}
        // Written plainly its members are sorted, which is another question here.
        (Ok(_), Ok(tree)) if order_counts(&tree) => {}
        (Ok(_), Ok(tree)) => {
            let plain = tree.to_string();
            assert_eq!(maker.fingerprint(&scope, plain.as_bytes()), print, "{plain}");
            assert_eq!(maker.inputs(&scope, plain.as_bytes()), inputs, "{plain}");
        }
    }
});
