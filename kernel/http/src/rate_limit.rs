//! The rate limit: a leaky bucket for each caller and group of routes.

use std::collections::HashMap;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use jiff::Timestamp;
use leaky_bucket::RateLimiter;

use super::access::Group;
use super::reply::Reply;
use prx_base::clock::{self, Clock};
use prx_base::config;
use prx_base::error::{Code, Error};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Webhooks of one channel per second: more than a platform sends to one bot.
const WEBHOOKS: u32 = 500;
/// How long a bucket is kept that no request counts against: 2 seconds. It is full again by then, as a new one is.
const BUCKET_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Seconds after which a refused client may retry: the longest interval at which a bucket is refilled.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum RateLimitKey {
    /// Everyone with the token of this id.
    Token(String),
    /// Everyone at this address who has no token.
    Address(IpAddr),
    /// Whoever has proven to speak for the platform of the channel of this name.
    Channel(String),
}

impl RateLimitKey {
    /// The key of an address. IPv6 addresses count by their network of 64 bits, all of which one caller has.
    pub(super) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// The buckets of everyone who has called lately, as large as `[rate_limits]` says now.
pub(super) struct RateLimits {
    config: config::Live,
    clock: Clock,
    /// Held to take one drop, never across a wait.
    buckets: Mutex<Buckets>,
}

type BucketKey = (RateLimitKey, Group);

/// Two generations: what is in neither was not asked for since [`BUCKET_IDLE_TIMEOUT`].
struct Buckets {
    recent: HashMap<BucketKey, RateLimiter>,
    older: HashMap<BucketKey, RateLimiter>,
    since: Instant,
}

/// What the rate limit leaves a caller after one more request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimitStatus {
    /// Whether this request was still within the limit.
    allowed: bool,
    /// Requests per second, and how many may come at once.
    limit: usize,
    /// How many may come now.
    remaining: usize,
    /// When as many as ever may come at once.
    reset: Timestamp,
}

impl RateLimits {
    pub(super) fn new(config: config::Live, clock: Clock) -> Self {
        let (recent, older) = Default::default();
        let buckets = Mutex::new(Buckets { recent, older, since: clock::stopwatch() });
        Self { config, clock, buckets }
    }

    /// Counts a request. None where requests are not limited.
    pub(super) fn count(&self, key: RateLimitKey, group: Group) -> Option<RateLimitStatus> {
        let config = self.config.current();
        let rate = rate(&config.rate_limits, group)?;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.since.elapsed() >= BUCKET_IDLE_TIMEOUT {
            buckets.forget_idle();
        }
        let bucket = buckets.of((key, group), rate);
        // In this order: the balance is only brought up to date by asking for a drop.
        let allowed = bucket.try_acquire(1) || group == Group::Health;
        let remaining = bucket.balance();
        let drops = (rate - remaining).div_ceil(bucket.refill());
        let full_in = bucket.interval() * u32::try_from(drops).unwrap_or(u32::MAX);
        Some(RateLimitStatus { allowed, limit: rate, remaining, reset: self.clock.now() + full_in })
    }
}

impl RateLimits {
    /// Whether one more request would be refused, as it stands without counting it.
    pub(super) fn refuses(&self, key: RateLimitKey, group: Group) -> Option<RateLimitStatus> {
        let rate = rate(&self.config.current().rate_limits, group)?;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.of((key, group), rate);
        // Asking for nothing brings the balance up to date.
        let allowed = bucket.try_acquire(0) && bucket.balance() > 0;
        let reset = self.clock.now() + Duration::from_secs(1);
        (!allowed).then_some(RateLimitStatus { allowed, limit: rate, remaining: 0, reset })
    }
}

impl Buckets {
    fn forget_idle(&mut self) {
        self.older = mem::take(&mut self.recent);
        self.since = clock::stopwatch();
    }

    fn of(&mut self, key: BucketKey, rate: usize) -> &RateLimiter {
        let older = self.older.remove(&key);
        let bucket = self.recent.entry(key).or_insert_with(|| older.unwrap_or_else(|| bucket(rate)));
        if bucket.max() != rate {
            *bucket = self::bucket(rate);
        }
        bucket
    }
}

/// A full bucket. Ten times a second where the rate can be divided like that, and less often where it can't, so
/// that every second gets exactly its share.
fn bucket(rate: usize) -> RateLimiter {
    let steps = [10, 5, 2, 1].into_iter().find(|steps| rate.is_multiple_of(*steps)).unwrap_or(1);
    let interval = Duration::from_millis(1000 / steps as u64);
    // Only a fair bucket brings its balance up to date whenever it is asked.
    RateLimiter::builder().max(rate).initial(rate).refill(rate / steps).interval(interval).fair(true).build()
}

fn rate(limits: &config::RateLimits, group: Group) -> Option<usize> {
    let rate = match group {
        Group::SessionsWrite => limits.sessions_write,
        Group::SessionsRead => limits.sessions_read,
        Group::ConfigWrite => limits.config_write,
        Group::Health | Group::Other => limits.other,
        Group::Webhooks => WEBHOOKS,
    };
    limits.enabled.then_some(rate as usize)
}

impl RateLimitStatus {
    /// 429, if the request was one too many.
    pub(super) fn refusal(self) -> Option<Error> {
        let message = || format!("Too many requests; {} a second are allowed here", self.limit);
        (!self.allowed).then(|| Error::new(Code::RateLimited, message()))
    }

    /// Adds the headers `X-RateLimit-*`, and `Retry-After` to a refusal.
    pub(super) fn write_headers(self, reply: Reply) -> Reply {
        // The first second in which the bucket is full for certain.
        let reset = self.reset.as_second() + i64::from(self.reset.subsec_nanosecond() > 0);
        let reply = reply
            .with(LIMIT, HeaderValue::from(self.limit))
            .with(REMAINING, HeaderValue::from(self.remaining))
            .with(RESET, HeaderValue::from(reset));
        if self.allowed { reply } else { reply.with(RETRY_AFTER, RETRY_AFTER_SECONDS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prx_base::config::Config;

    fn limits(change: impl FnOnce(&mut config::RateLimits)) -> RateLimits {
        let mut config = Config::default();
        change(&mut config.rate_limits);
        let start = Timestamp::UNIX_EPOCH + Duration::from_secs(1_711_015_230);
        RateLimits::new(config::Live::new(config), Clock::manual(start))
    }

    fn token(id: &str) -> RateLimitKey {
        RateLimitKey::Token(id.into())
    }

    #[test]
    fn every_rate_there_may_be_is_kept_exactly() {
        for rate in [1, 5, 7, 10, 30, 50, 997, 1_000_000] {
            let bucket = bucket(rate);
            let a_second = Duration::from_secs(1);
            let refills = a_second.as_nanos() / bucket.interval().as_nanos();
            assert_eq!(refills * bucket.refill() as u128, rate as u128);
            assert_eq!(bucket.interval() * u32::try_from(refills).unwrap(), a_second);
            assert_eq!(bucket.balance(), rate);
        }
    }

    #[test]
    fn what_goes_beyond_the_bucket_is_refused() {
        let limits = limits(|limits| limits.config_write = 1);
        let first = limits.count(token("a"), Group::ConfigWrite).expect("limited");
        assert_eq!((first.limit, first.remaining, first.refusal().is_none()), (1, 0, true));
        assert_eq!(first.reset, limits.clock.now() + Duration::from_secs(1));
        let second = limits.count(token("a"), Group::ConfigWrite).expect("limited");
        assert_eq!(second.refusal().expect("refused").code(), Code::RateLimited);
        for (key, group) in [
            (token("b"), Group::ConfigWrite),
            (token("a"), Group::Other),
            (RateLimitKey::at([127, 0, 0, 1].into()), Group::ConfigWrite),
        ] {
            assert_eq!(limits.count(key, group).expect("limited").refusal().map(|_| ()), None);
        }
    }

    #[test]
    fn the_page_of_the_reference_is_the_default() {
        let limits = limits(|_| ());
        let groups = [Group::SessionsWrite, Group::SessionsRead, Group::ConfigWrite, Group::Other];
        let statuses = groups.map(|group| limits.count(token("a"), group).expect("limited"));
        assert_eq!(
            statuses.map(|status| (status.limit, status.remaining)),
            [(10, 9), (50, 49), (5, 4), (30, 29)]
        );
    }

    #[test]
    fn nothing_is_counted_where_nothing_is_limited() {
        assert_eq!(limits(|limits| limits.enabled = false).count(token("a"), Group::Other), None);
    }

    #[test]
    fn idle_buckets_are_forgotten_and_busy_ones_are_not() {
        let limits = limits(|_| ());
        let kept = |limits: &RateLimits| {
            let buckets = limits.buckets.lock().unwrap();
            buckets.recent.len() + buckets.older.len()
        };
        for id in 0..10_000 {
            limits.count(token(&id.to_string()), Group::Other);
        }
        assert_eq!(kept(&limits), 10_000);
        limits.buckets.lock().unwrap().forget_idle();
        let busy = limits.count(token("7"), Group::Other).expect("limited");
        assert!(busy.remaining <= 29, "{busy:?}");
        limits.buckets.lock().unwrap().forget_idle();
        assert_eq!(kept(&limits), 1);
    }

    #[test]
    fn a_network_of_version_6_pays_as_one() {
        let at = |text: &str| RateLimitKey::at(text.parse().expect("an address"));
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:0:0:2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
