//! Which profile splits a model's answers, and which policy then applies: the user's rows first, the built-in table after.

use std::sync::Arc;

use crate::wire::think::{Policy, Profile, table};

/// One row of `think.models`, its profile found.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Glob over the model's name.
    pub glob: Box<str>,
    pub profile: Arc<Profile>,
    pub policy: Option<Policy>,
}

/// The rows in order.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    own: Vec<Rule>,
}

/// What the rows say of one model.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub profile: Arc<Profile>,
    /// Only the user's rows name one.
    pub policy: Option<Policy>,
}

impl Rules {
    #[must_use]
    pub fn new(own: Vec<Rule>) -> Self {
        Self { own }
    }

    /// First match wins; a model that nothing names gets the profile `think`, which is harmless where no model thinks.
    #[must_use]
    pub fn of(&self, model: &str) -> Verdict {
        match self.own.iter().find(|rule| table::glob(&rule.glob, model)) {
            Some(rule) => Verdict { profile: Arc::clone(&rule.profile), policy: rule.policy },
            None => Verdict { profile: table::for_model(model).1, policy: None },
        }
    }
}

/// Request header, then model row, then the default. Where blocks are signed and must come back unchanged (Anthropic) or
/// repeated in later events (Responses), the default is to keep.
#[must_use]
pub fn policy(header: Option<Policy>, row: Option<Policy>, default: Policy, keeps_by_default: bool) -> Policy {
    header.or(row).unwrap_or(if keeps_by_default { Policy::Keep } else { default })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_rows_come_first_and_in_order() {
        let inside = table::builtin("think_prefilled").unwrap();
        let rules = Rules::new(vec![
            Rule { glob: "mine-*".into(), profile: Arc::clone(&inside), policy: Some(Policy::Separate) },
            Rule { glob: "*".into(), profile: Profile::think(), policy: None },
        ]);
        let mine = rules.of("mine-7b");
        assert!(Arc::ptr_eq(&mine.profile, &inside));
        assert_eq!(mine.policy, Some(Policy::Separate));
        assert_eq!(rules.of("magistral-small").policy, None);
        assert!(Arc::ptr_eq(&rules.of("magistral-small").profile, &Profile::think()));
        assert!(!Arc::ptr_eq(&Rules::default().of("magistral-small-2507").profile, &Profile::think()));
    }

    #[test]
    fn precedence() {
        use Policy::{Keep, Separate, Strip, Wrap};
        assert_eq!(policy(Some(Wrap), Some(Keep), Strip, true), Wrap);
        assert_eq!(policy(None, Some(Separate), Strip, true), Separate);
        assert_eq!(policy(None, None, Strip, false), Strip);
        assert_eq!(policy(None, None, Strip, true), Keep);
    }
}
