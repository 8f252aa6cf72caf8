//! The text format of Prometheus.

use std::fmt::{Arguments, Display, Write};

use prx_base::meter::Distribution;

/// Upper bounds of the buckets that are shown, in microseconds and as they are written, in seconds. Each is a bound that is
/// counted by.
pub(super) const BUCKETS: [(u64, &str); 18] = [
    (1_000, "0.001"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (25_000_000, "25"),
    (50_000_000, "50"),
    (100_000_000, "100"),
    (250_000_000, "250"),
    (500_000_000, "500"),
    (1_000_000_000, "1000"),
];

/// A page of metrics, a family after the other.
#[derive(Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    /// Begins a family: `counter`, `gauge` or `histogram`.
    pub(super) fn family(&mut self, name: &str, kind: &str, about: &str) {
        self.line(format_args!("# HELP {name} {about}\n# TYPE {name} {kind}"));
    }

    /// A sample of the family that was begun last.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.line(format_args!("{name}{} {value}", braced(labels)));
    }

    /// A family with one sample, which has no labels.
    pub(super) fn single(&mut self, name: &str, kind: &str, about: &str, value: impl Display) {
        self.family(name, kind, about);
        self.sample(name, &[], value);
    }

    /// The samples of a histogram of seconds, in the family that was begun last.
    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &Distribution) {
        let all = times.count();
        let counts = BUCKETS.iter().map(|(us, bound)| (*bound, times.at_most(*us))).chain([("+Inf", all)]);
        for (bound, count) in counts {
            let labels = [labels, &[("le", bound)]].concat();
            self.line(format_args!("{name}_bucket{} {count}", braced(&labels)));
        }
        let seconds = times.sum_us as f64 / 1e6;
        self.line(format_args!("{name}_sum{} {seconds}", braced(labels)));
        self.line(format_args!("{name}_count{} {all}", braced(labels)));
    }

    fn line(&mut self, line: Arguments<'_>) {
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn braced(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let labels: Vec<_> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", labels.join(","))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prx_base::meter::{BOUNDS_US, Histogram};

    use super::*;

    #[test]
    fn a_label_may_say_anything() {
        let mut page = Page::default();
        page.family("a", "gauge", "About.");
        page.sample("a", &[("b", "c\"\\\nd"), ("e", "")], 7);
        page.single("f", "counter", "About.", 0);
        let expected = "# HELP a About.\n# TYPE a gauge\na{b=\"c\\\"\\\\\\nd\",e=\"\"} 7\n\
                        # HELP f About.\n# TYPE f counter\nf 0\n";
        assert_eq!(page.0, expected);
    }

    #[test]
    fn buckets_add_up_and_are_counted_exactly() {
        assert!(BUCKETS.iter().all(|(us, _)| BOUNDS_US.contains(us)), "each is a bound that is counted by");
        for (us, bound) in BUCKETS {
            assert_eq!(bound.parse::<f64>().unwrap() * 1e6, us as f64);
        }
        let times = Histogram::default();
        for ms in [1, 3, 250, 251, 2_000_000] {
            times.observe(Duration::from_millis(ms));
        }
        let mut page = Page::default();
        page.histogram("t_seconds", &[("a", "b")], &times.distribution());
        let line = |rest: &str| page.0.contains(&format!("t_seconds{rest}\n"));
        for expected in [
            "_bucket{a=\"b\",le=\"0.001\"} 1",
            "_bucket{a=\"b\",le=\"0.005\"} 2",
            "_bucket{a=\"b\",le=\"0.25\"} 3",
            "_bucket{a=\"b\",le=\"0.5\"} 4",
            "_bucket{a=\"b\",le=\"1000\"} 4",
            "_bucket{a=\"b\",le=\"+Inf\"} 5",
            "_sum{a=\"b\"} 2000.505",
            "_count{a=\"b\"} 5",
        ] {
            assert!(line(expected), "{expected} in {}", page.0);
        }
    }
}
