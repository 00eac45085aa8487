//! Who has to wait before the next try. Pure: time is steady nanoseconds that it is given.
//!
//! Three counts, each of failures in a row: of a name from an address, of a name from anywhere, and of an address with
//! any name. Beyond what each has free, every further failure doubles the wait. Names that nobody has are counted like
//! any other, so that waiting tells nothing. A try counts as failed from its begin, so that many at once gain nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use super::ns;

/// Entries of each kind; the ones that were quiet for longest make way.
const MOST: usize = 8192;

/// How many failures are free, and how long waits get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Failures of a name from one address before it has to wait (5).
    pub pair: u32,
    /// Failures of a name from all addresses (30): more, so that nobody is easily locked out by others.
    pub name: u32,
    /// Failures of an address with all names (20).
    pub address: u32,
    /// The first wait (1 s); it doubles with each further failure.
    pub first: Duration,
    /// The longest wait (15 min).
    pub longest: Duration,
    /// After so long without a failure all is forgotten (1 h).
    pub forget: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pair: 5,
            name: 30,
            address: 20,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(15 * 60),
            forget: Duration::from_secs(3600),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    failures: u32,
    last_ns: i64,
    until_ns: i64,
}

impl Count {
    fn is_over(&self, now_ns: i64, limits: &Limits) -> bool {
        now_ns >= self.until_ns && now_ns.saturating_sub(self.last_ns) >= ns(limits.forget)
    }

    fn fail(&mut self, free: u32, now_ns: i64, limits: &Limits) {
        self.failures = self.failures.saturating_add(1);
        self.last_ns = now_ns;
        if let Some(beyond) = self.failures.checked_sub(free) {
            let wait = limits
                .first
                .checked_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX))
                .map_or(limits.longest, |w| w.min(limits.longest));
            self.until_ns = now_ns.saturating_add(ns(wait));
        }
    }

    fn undo(&mut self) {
        self.failures = self.failures.saturating_sub(1);
        self.until_ns = 0;
    }
}

/// The counts.
#[derive(Debug)]
pub struct Throttle {
    limits: Limits,
    pairs: HashMap<(String, IpAddr), Count>,
    names: HashMap<String, Count>,
    addresses: HashMap<IpAddr, Count>,
}

impl Throttle {
    /// With nobody waiting.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            pairs: HashMap::new(),
            names: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    /// Whether there may be a try now. If so it counts as failed until [`succeeded`](Self::succeeded).
    ///
    /// # Errors
    /// How long to wait.
    pub fn admit(&mut self, name: &str, address: IpAddr, now_ns: i64) -> Result<(), Duration> {
        let limits = self.limits;
        let pair = (name.to_owned(), address);
        let until = [
            self.pairs.get(&pair),
            self.names.get(name),
            self.addresses.get(&address),
        ]
        .into_iter()
        .flatten()
        .map(|c| c.until_ns)
        .max()
        .unwrap_or_default();
        if now_ns < until {
            return Err(Duration::from_nanos(
                u64::try_from(until - now_ns).unwrap_or_default(),
            ));
        }
        count(&mut self.pairs, pair, now_ns, &limits).fail(limits.pair, now_ns, &limits);
        count(&mut self.names, name.to_owned(), now_ns, &limits).fail(limits.name, now_ns, &limits);
        count(&mut self.addresses, address, now_ns, &limits).fail(limits.address, now_ns, &limits);
        Ok(())
    }

    /// The try that was admitted was right: what failed before from there is forgotten, what failed elsewhere is not.
    pub fn succeeded(&mut self, name: &str, address: IpAddr) {
        self.pairs.remove(&(name.to_owned(), address));
        if let Some(c) = self.names.get_mut(name) {
            c.undo();
        }
        if let Some(c) = self.addresses.get_mut(&address) {
            c.undo();
        }
    }

    /// How long a name has to wait, from wherever it is longest.
    #[must_use]
    pub fn wait_of(&self, name: &str, now_ns: i64) -> Option<Duration> {
        let pairs = self.pairs.iter().filter(|((n, _), _)| n == name).map(|(_, c)| c);
        let until = pairs.chain(self.names.get(name)).map(|c| c.until_ns).max()?;
        u64::try_from(until - now_ns)
            .ok()
            .filter(|ns| *ns > 0)
            .map(Duration::from_nanos)
    }

    /// Forgets what is known of a name, because its password was set anew.
    pub fn pardon(&mut self, name: &str) {
        self.names.remove(name);
        self.pairs.retain(|(n, _), _| n != name);
    }
}

fn count<'m, K: Hash + Eq + Clone>(
    map: &'m mut HashMap<K, Count>,
    key: K,
    now_ns: i64,
    limits: &Limits,
) -> &'m mut Count {
    if map.len() >= MOST && !map.contains_key(&key) {
        map.retain(|_, c| !c.is_over(now_ns, limits));
        if map.len() >= MOST
            && let Some(oldest) = map.iter().min_by_key(|(_, c)| c.last_ns).map(|(k, _)| k.clone())
        {
            map.remove(&oldest);
        }
    }
    let count = map.entry(key).or_default();
    if count.is_over(now_ns, limits) {
        *count = Count::default();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn waits_double_and_end() {
        let mut t = Throttle::new(Limits::default());
        let mut now = 0;
        for _ in 0..5 {
            t.admit("anna", ip(1), now).unwrap();
        }
        let mut waits = Vec::new();
        for _ in 0..13 {
            let wait = t.admit("anna", ip(1), now).unwrap_err();
            assert_eq!(t.wait_of("anna", now), Some(wait));
            waits.push(wait.as_secs());
            now += ns(wait);
            t.admit("anna", ip(1), now).unwrap();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        now += 900 * S + 3600 * S;
        for _ in 0..5 {
            t.admit("anna", ip(1), now).unwrap();
        }
    }

    #[test]
    fn tries_while_waiting_do_not_lengthen_it() {
        let mut t = Throttle::new(Limits::default());
        for _ in 0..5 {
            t.admit("anna", ip(1), 0).unwrap();
        }
        for _ in 0..100 {
            assert_eq!(t.admit("anna", ip(1), S / 2), Err(Duration::from_millis(500)));
        }
        t.admit("anna", ip(1), S).unwrap();
    }

    #[test]
    fn others_are_not_locked_out_by_one_address() {
        let mut t = Throttle::new(Limits::default());
        for _ in 0..5 {
            t.admit("anna", ip(1), 0).unwrap();
        }
        t.admit("anna", ip(1), 0).unwrap_err();
        t.admit("anna", ip(2), 0).unwrap();
        t.succeeded("anna", ip(2));
        t.admit("anna", ip(1), 0).unwrap_err();
    }

    #[test]
    fn many_names_from_one_address_and_one_name_from_many() {
        let mut t = Throttle::new(Limits::default());
        for n in 0..20 {
            t.admit(&format!("user{n}"), ip(1), 0).unwrap();
        }
        t.admit("another", ip(1), 0).unwrap_err();
        let mut t = Throttle::new(Limits::default());
        for n in 0..30 {
            t.admit("anna", ip(n), 0).unwrap();
        }
        t.admit("anna", ip(200), 0).unwrap_err();
        t.pardon("anna");
        t.admit("anna", ip(200), 0).unwrap();
    }

    #[test]
    fn it_never_grows_without_bound() {
        let mut t = Throttle::new(Limits::default());
        for n in 0..(MOST as u32 + 100) {
            let from = IpAddr::from(n.to_be_bytes());
            t.admit(&format!("user{n}"), from, i64::from(n)).unwrap();
        }
        assert!(t.pairs.len() <= MOST && t.names.len() <= MOST && t.addresses.len() <= MOST);
    }
}
