//! Texts that many devices share: domains, app ids, teams, User-Agents.

use std::collections::HashMap;
use std::sync::Arc;

/// A text of [`Texts`], by its number.
pub(super) type TextId = u32;

/// Each text once, as long as somebody uses it.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    /// By number: each text, and how often it is used.
    all: Vec<(Arc<str>, usize)>,
    /// Phones choose some of these texts, so this map has the standard hasher.
    ids: HashMap<Arc<str>, TextId>,
    free: Vec<TextId>,
}

impl Texts {
    /// The number of a text, which is used once more.
    pub(super) fn borrow(&mut self, text: &Arc<str>) -> TextId {
        if let Some(&id) = self.ids.get(text) {
            if let Some((_, used)) = self.all.get_mut(id as usize) {
                *used += 1;
            }
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.all.push((Arc::default(), 0));
            TextId::try_from(self.all.len() - 1).unwrap_or(TextId::MAX)
        });
        if let Some(place) = self.all.get_mut(id as usize) {
            *place = (text.clone(), 1);
        }
        self.ids.insert(text.clone(), id);
        id
    }

    /// The text with this number.
    pub(super) fn get(&self, id: TextId) -> Arc<str> {
        self.all
            .get(id as usize)
            .map(|(text, _)| text.clone())
            .unwrap_or_default()
    }

    /// Whether the text with this number is this one.
    pub(super) fn is(&self, id: TextId, text: &str) -> bool {
        self.all.get(id as usize).is_some_and(|(known, _)| **known == *text)
    }

    /// One use less. A text that nobody uses is forgotten.
    pub(super) fn give_back(&mut self, id: TextId) {
        let Some((text, used)) = self.all.get_mut(id as usize) else {
            return;
        };
        *used = used.saturating_sub(1);
        if *used == 0 {
            let text = std::mem::take(text);
            self.ids.remove(&text);
            self.free.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_once_and_forgotten_with_its_last_use() {
        let mut texts = Texts::default();
        let (a, again) = (texts.borrow(&"a".into()), texts.borrow(&"a".into()));
        let b = texts.borrow(&"b".into());
        assert_eq!(a, again);
        assert!(texts.is(a, "a") && texts.is(b, "b"));
        texts.give_back(a);
        assert_eq!(*texts.get(a), *"a");
        texts.give_back(a);
        // Its number is used again.
        assert_eq!(texts.borrow(&"c".into()), a);
        assert_eq!(*texts.get(a), *"c");
        assert_eq!((texts.all.len(), texts.ids.len()), (2, 2));
    }
}
