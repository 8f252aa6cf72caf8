//! `[[schedule]]`: the times at which a plugin's jobs run.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDateTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};
use serde::{Deserialize, Deserializer};

use super::values::name;

/// Most schedules of one plugin.
pub(super) const MAX_SCHEDULES: usize = 16;
/// The longest expression, in bytes.
const MAX_EXPRESSION: usize = 128;

/// `[[schedule]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The job's name.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// When it runs.
    #[serde(deserialize_with = "times")]
    pub cron: Times,
}

/// A cron expression of five fields, known to come true some time.
#[derive(Debug, Clone)]
pub struct Times {
    text: String,
    cron: Cron,
}

impl Times {
    /// Reads an expression: minute, hour, day of the month, month, day of the week.
    ///
    /// # Errors
    /// What is wrong with it, and how one looks that would do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: String| {
            format!(
                "{text:?} is no cron expression: {why}; write five fields, minute hour day month weekday, such as \
                 \"30 8 * * MON-FRI\""
            )
        };
        if text.len() > MAX_EXPRESSION {
            return Err(format!("a cron expression has at most {MAX_EXPRESSION} bytes, not {}", text.len()));
        }
        let fields = text.split_whitespace().count();
        if fields != 5 && !text.trim_start().starts_with('@') {
            return Err(wrong(format!("it has {fields} fields")));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| wrong(told(&error)))?;
        let times = Self { text: text.to_owned(), cron };
        match times.after(Timestamp::UNIX_EPOCH, &TimeZone::UTC) {
            Some(_) => Ok(times),
            None => Err(wrong("no day is ever like that".into())),
        }
    }

    /// The first of these times behind a moment.
    pub fn after(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let from = At::floor(moment, zone)?;
        self.cron.find_next_occurrence(&from, false).ok().map(|at| at.zoned.timestamp())
    }

    /// The last of these times before a moment, or at it.
    pub fn until(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let from = At::floor(moment, zone)?;
        self.cron.find_previous_occurrence(&from, true).ok().map(|at| at.zoned.timestamp())
    }

    /// The expression, as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The parser's word, without what it calls itself.
fn told(error: &CronError) -> String {
    match error {
        CronError::InvalidPattern(why)
        | CronError::IllegalCharacters(why)
        | CronError::ComponentError(why) => why.trim_end_matches('.').to_owned(),
        other => other.to_string().trim_end_matches('.').to_owned(),
    }
}

fn times<'de, D: Deserializer<'de>>(input: D) -> Result<Times, D::Error> {
    Times::parse(&String::deserialize(input)?).map_err(serde::de::Error::custom)
}

/// A moment in a time zone, as the cron library asks for it: its own support is for another major version of jiff.
#[derive(Clone)]
struct At {
    zoned: ZonedDateTime,
    civil: CivilDateTime,
}

impl At {
    /// The whole second that a moment lies in.
    fn floor(moment: Timestamp, zone: &TimeZone) -> Option<Self> {
        Self::of(Timestamp::from_second(moment.as_second()).ok()?.to_zoned_datetime(zone.clone()))
    }

    fn of(zoned: ZonedDateTime) -> Option<Self> {
        let (date, time) = (zoned.date(), zoned.time());
        let unsigned = |number: i8| u32::try_from(number).ok();
        let (month, day) = (unsigned(date.month())?, unsigned(date.day())?);
        let (hour, minute, second) =
            (unsigned(time.hour())?, unsigned(time.minute())?, unsigned(time.second())?);
        let year = i32::from(date.year());
        let civil = CivilDateTime::from_ymd_hms_opt(year, month, day, hour, minute, second)?;
        Some(Self { zoned, civil })
    }

    fn resolved(zoned: Result<ZonedDateTime, jiff::Error>) -> Result<Self, CronError> {
        zoned.ok().and_then(Self::of).ok_or(CronError::InvalidTime)
    }
}

impl CronDateTime for At {
    fn to_civil(&self) -> CivilDateTime {
        self.civil
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.zoned.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::try_from(days).unwrap_or_default())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let small = |number: u32| i8::try_from(number).map_err(|_| CronError::InvalidTime);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let (month, day) = (small(civil.month())?, small(civil.day())?);
        let (hour, minute, second) = (small(civil.hour())?, small(civil.minute())?, small(civil.second())?);
        let civil = DateTime::new(year, month, day, hour, minute, second, 0);
        let at =
            self.zoned.time_zone().to_ambiguous_zoned_datetime(civil.map_err(|_| CronError::InvalidDate)?);
        Ok(match at.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(Self::resolved(at.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(Self::resolved(at.clone().earlier())?, Self::resolved(at.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        Self::of(self.zoned.checked_add(SignedDuration::from_secs(seconds)).ok()?)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.zoned.timestamp().cmp(&other.zoned.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, after: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let times = Times::parse(expression).unwrap();
        times.after(after.parse().unwrap(), &zone).unwrap().to_string()
    }

    #[test]
    fn times_are_those_of_the_operators_zone() {
        assert_eq!(next("0 8 * * *", "2026-11-30T07:00:00Z", "UTC"), "2026-11-30T08:00:00Z");
        assert_eq!(next("0 8 * * *", "2026-11-30T07:00:00Z", "Europe/Berlin"), "2026-12-01T07:00:00Z");
        assert_eq!(next("0 8 * * *", "2026-11-30T06:59:59.999Z", "Europe/Berlin"), "2026-11-30T07:00:00Z");
        assert_eq!(next("30 8 * * MON-FRI", "2026-11-27T09:00:00Z", "UTC"), "2026-11-30T08:30:00Z");
        assert_eq!(next("@daily", "2026-11-30T09:00:00Z", "UTC"), "2026-12-01T00:00:00Z");
        assert_eq!(next("0 0 29 2 *", "2026-11-30T09:00:00Z", "UTC"), "2028-02-29T00:00:00Z");
    }

    #[test]
    fn a_change_of_the_clocks_neither_drops_a_daily_time_nor_doubles_it() {
        // 02:30 does not come on 28 March 2027 and comes twice on 31 October 2027.
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let times = Times::parse("30 2 * * *").unwrap();
        let days = |from: &str, days: usize| {
            let mut at: Timestamp = from.parse().unwrap();
            let mut seen = Vec::new();
            for _ in 0..days {
                at = times.after(at, &berlin).unwrap();
                seen.push(at.to_zoned_datetime(berlin.clone()).date().to_string());
            }
            seen
        };
        assert_eq!(days("2027-03-27T00:00:00Z", 3), ["2027-03-27", "2027-03-28", "2027-03-29"]);
        assert_eq!(days("2027-10-30T00:00:00Z", 3), ["2027-10-30", "2027-10-31", "2027-11-01"]);
    }

    #[test]
    fn the_last_time_that_passed_is_found_without_counting_all() {
        let times = Times::parse("*/15 * * * *").unwrap();
        let until = |moment: &str| times.until(moment.parse().unwrap(), &TimeZone::UTC).unwrap().to_string();
        assert_eq!(until("2026-11-30T08:14:59Z"), "2026-11-30T08:00:00Z");
        assert_eq!(until("2026-11-30T08:15:00Z"), "2026-11-30T08:15:00Z");
    }

    #[test]
    fn what_is_wrong_with_an_expression_is_said() {
        for (expression, said) in [
            ("61 * * * *", "61"),
            ("* * * *", "it has 4 fields"),
            ("*/5 * * * * *", "it has 6 fields"),
            ("0 0 30 2 *", "no day is ever like that"),
            ("every day", "it has 2 fields"),
            ("@sometimes", "is no cron expression"),
            ("", "it has 0 fields"),
        ] {
            let told = Times::parse(expression).unwrap_err();
            assert!(told.contains(said) && told.contains("30 8 * * MON-FRI"), "{expression}: {told}");
        }
        assert!(Times::parse(&"1,".repeat(200)).unwrap_err().contains("at most 128 bytes"));
    }
}
