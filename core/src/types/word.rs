//! Enums with one word per value, for writing and for reading back.

/// Declares an enum with the word of each value, as it is in the journal, in JSON and on channels: `ALL`, `as_str` and
/// `from_word`.
#[macro_export]
macro_rules! word_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$value_meta:meta])* $value:ident = $word:literal, )* }
    ) => {
        $(#[$meta])*
        pub enum $name { $( $(#[$value_meta])* $value, )* }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$value),*];

            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $( Self::$value => $word, )*
                }
            }

            /// The value with this word; `None` for a word that this version does not know.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $( $word => Some(Self::$value), )*
                    _ => None,
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    word_enum! {
        /// Words of two letters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Two {
            /// The first.
            First = "aa",
            /// The second.
            Second = "bb",
        }
    }

    #[test]
    fn every_word_is_read_back_as_its_value() {
        for value in Two::ALL {
            assert_eq!(Two::from_word(value.as_str()), Some(value));
        }
        assert_eq!(Two::from_word("AA"), None);
    }
}
