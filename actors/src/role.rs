//! The roles: which actors there are, and in which order they are started.

use syva_model::image::Table;

/// The actors, in the order they are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The node's health.
    Health,
    /// The kernel object.
    Loader,
    /// One policy map.
    Map(Table),
    /// The control map.
    Control,
    /// Memberships and what lies below them.
    Membership,
    /// The agreement of maps and desired image.
    Reconciler,
    /// The subscribers.
    Fanout,
    /// The ring buffer.
    Ring,
    /// The journal.
    Writer,
}

/// The tables that have an actor of their own; the control map's is [`Role::Control`].
pub const TABLES: [Table; 5] = [
    Table::Zones,
    Table::Members,
    Table::Claims,
    Table::Pairs,
    Table::HostSockets,
];

impl Role {
    /// All of them, in that order.
    pub const ORDER: [Role; 13] = [
        Role::Health,
        Role::Loader,
        Role::Map(Table::Zones),
        Role::Map(Table::Members),
        Role::Map(Table::Claims),
        Role::Map(Table::Pairs),
        Role::Map(Table::HostSockets),
        Role::Control,
        Role::Membership,
        Role::Reconciler,
        Role::Fanout,
        Role::Ring,
        Role::Writer,
    ];

    /// The actor's name, in logs and health.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Health => "health actor",
            Role::Loader => "loader",
            Role::Map(Table::Zones) => "zones map actor",
            Role::Map(Table::Members) => "members map actor",
            Role::Map(Table::Claims) => "claims map actor",
            Role::Map(Table::Pairs) => "pairs map actor",
            Role::Map(Table::HostSockets) => "host sockets map actor",
            Role::Map(Table::Control) | Role::Control => "control map actor",
            Role::Membership => "membership actor",
            Role::Reconciler => "reconciler",
            Role::Fanout => "event fan-out",
            Role::Ring => "ring reader",
            Role::Writer => "journal writer",
        }
    }
}
