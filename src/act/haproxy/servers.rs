//! Reads what HAProxy says of the servers of a backend.
//!
//! Columns are found by their names, for their number differs between versions. Must never panic on any text. Called by
//! the backend.

use std::collections::BTreeMap;

/// Bits of `srv_admin_state`: told to be in maintenance; by the server it tracks; by a name that does not resolve.
const MAINT: u32 = 0x01 | 0x02 | 0x20;
/// Told to drain; by the server it tracks.
const DRAIN: u32 = 0x08 | 0x10;
/// Those of both that no command on this server can end.
const BORROWED: u32 = 0x02 | 0x10 | 0x20;

/// What somebody wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// In the traffic.
    Ready,
    /// No new connections, except of clients that a cookie ties to it.
    Drain,
    /// No new connections at all, and no health checks.
    Maint,
}

impl Wanted {
    /// As the runtime API and the settings call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }

    /// Reads the word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Ready, Self::Drain, Self::Maint].into_iter().find(|wanted| wanted.word() == word)
    }
}

/// One server of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub name: String,
    /// Running, as far as HAProxy knows: a server without checks is until it is put into maintenance.
    pub up: bool,
    pub wanted: Wanted,
    /// Its state comes from the server it tracks, or from the name service.
    pub borrowed: bool,
    /// 0 to 256.
    pub weight: u32,
}

/// Reads the reply to `show servers state BACKEND`, in the order of names.
pub(super) fn of_state(reply: &str, backend: &str) -> Result<Vec<Server>, String> {
    let header = reply.lines().find_map(|line| line.strip_prefix('#')).ok_or("it has no header")?;
    let column = |name: &str| {
        let place = header.split_whitespace().position(|column| column == name);
        place.ok_or_else(|| format!("it has no column {name}"))
    };
    let (of, name, op) = (column("be_name")?, column("srv_name")?, column("srv_op_state")?);
    let (admin, weight) = (column("srv_admin_state")?, column("srv_uweight")?);
    let mut servers = Vec::new();
    // In front of the header stands the version of the format, alone.
    for line in reply.lines().filter(|line| !line.starts_with('#') && line.contains(' ')) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let cell = |at: usize| cells.get(at).copied().ok_or("a line is too short");
        let number = |at: usize| cell(at)?.parse::<u32>().map_err(|_| "a number is none");
        if cell(of)? != backend {
            continue;
        }
        let bits = number(admin)?;
        let wanted = match bits {
            bits if bits & MAINT != 0 => Wanted::Maint,
            bits if bits & DRAIN != 0 => Wanted::Drain,
            _ => Wanted::Ready,
        };
        servers.push(Server {
            name: cell(name)?.to_owned(),
            up: number(op)? != 0,
            wanted,
            borrowed: bits & BORROWED != 0,
            weight: number(weight)?,
        });
    }
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(servers)
}

/// What the statistics add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    /// `roundrobin`; hidden from sockets of level user.
    pub balance: Option<String>,
    /// Server to its connections and those that wait for it.
    pub connections: BTreeMap<String, u64>,
}

/// Reads the reply to `show stat BACKEND 6 -1`.
pub(super) fn of_stat(reply: &str) -> Result<Statistics, String> {
    let reply = reply.strip_prefix("# ").ok_or("it has no header")?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(reply.as_bytes());
    let header = reader.headers().map_err(|_| "its header cannot be read")?.clone();
    let column = |name: &str| header.iter().position(|column| column == name);
    let wanted = |name: &str| column(name).ok_or_else(|| format!("it has no column {name}"));
    let (server, kind, now, queued) = (wanted("svname")?, wanted("type")?, wanted("scur")?, wanted("qcur")?);
    let algo = column("algo");
    let mut found = Statistics::default();
    for record in reader.records() {
        let record = record.map_err(|_| "a line of it cannot be read")?;
        let number = |at: usize| record.get(at).and_then(|cell| cell.parse::<u64>().ok()).unwrap_or(0);
        match record.get(kind) {
            // The backend itself.
            Some("1") => {
                found.balance = algo.and_then(|at| record.get(at)).filter(|s| !s.is_empty()).map(str::to_owned)
            }
            // A server.
            Some("2") => {
                let name = record.get(server).unwrap_or_default().to_owned();
                found.connections.insert(name, number(now).saturating_add(number(queued)));
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight\n\
        3 shop 1 b 127.0.0.1 2 0 50 100\n3 shop 2 a 127.0.0.1 0 5 100 100\n3 shop 3 c 127.0.0.1 2 8 1 1\n\
        3 shop 4 d - 0 2 1 1\n3 shop 5 e - 2 4 1 1\n4 other 1 x - 2 0 1 1\n\n";

    #[test]
    fn servers_are_read_by_the_names_of_columns() {
        let servers = of_state(STATE, "shop").unwrap();
        let told: Vec<_> =
            servers.iter().map(|s| (s.name.as_str(), s.up, s.wanted.word(), s.borrowed, s.weight)).collect();
        assert_eq!(
            told,
            [
                ("a", false, "maint", false, 100),
                ("b", true, "ready", false, 50),
                ("c", true, "drain", false, 1),
                ("d", false, "maint", true, 1),
                // Disabled in the config, and made ready since.
                ("e", true, "ready", false, 1),
            ]
        );
    }

    #[test]
    fn statistics_tell_connections_and_balance() {
        let reply = "# pxname,svname,qcur,scur,type,last_chk,algo,\nshop,a,1,2,2,\"said \"\"no, thanks\"\"\",,\n\
            shop,b,0,0,2,,,\nshop,BACKEND,0,9,1,,roundrobin,\n\n";
        let found = of_stat(reply).unwrap();
        assert_eq!(found.balance.as_deref(), Some("roundrobin"));
        assert_eq!(found.connections, BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 0)]));
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        assert!(of_state("Can't find backend.\n", "shop").is_err());
        assert!(of_state("1\n# be_name srv_name\n", "shop").is_err());
        assert!(of_stat("No such proxy.\n").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(1\n)?# ?(be_name|svname|srv_name|[ -~])*\n[ -~\n]*") {
            let _ = of_state(&text, "shop");
            let _ = of_stat(&text);
        }
    }
}
