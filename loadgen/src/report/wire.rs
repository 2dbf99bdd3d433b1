//! The JSON form of distributions and intervals. Figures are `null` if nothing was recorded, so
//! that a reader cannot take a missing latency for zero.
//!
//! `data.rs` and `series.rs` use it. Tests: `report/tests.rs`.

/// Defines the JSON form of a struct: `plain` fields as they are, `figures` as `null` if the field
/// `count` is zero.
macro_rules! wire {
    (
        $name:ident, $of:ident,
        plain: { $($plain:ident: $plain_type:ty),* },
        figures: { $($figure:ident: $type:ty),* }
    ) => {
        #[derive(Serialize, Deserialize)]
        struct $name {
            $(#[serde(default)] $plain: $plain_type,)*
            $($figure: Option<$type>,)*
        }

        impl From<$of> for $name {
            fn from(of: $of) -> Self {
                let known = of.count > 0;
                Self {
                    $($figure: known.then_some(of.$figure),)*
                    $($plain: of.$plain,)*
                }
            }
        }

        impl From<$name> for $of {
            fn from(written: $name) -> Self {
                Self {
                    $($figure: written.$figure.unwrap_or_default(),)*
                    $($plain: written.$plain,)*
                }
            }
        }
    };
}

pub(super) use wire;
