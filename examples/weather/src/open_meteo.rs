//! What is needed of the Open-Meteo API: places, the weather now, the days to come.

use prx_sdk::config;
use prx_sdk::http::{self, Request};
use prx_sdk::tool::{Fault, FaultCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Deserialize)]
pub(crate) struct OpenMeteo {
    api_base: String,
    geocoding_base: String,
}

/// What the numbers are in.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Units {
    #[default]
    Metric,
    Imperial,
}

impl Units {
    /// Of temperature, speed and depth of rain.
    pub(crate) fn symbols(self) -> [&'static str; 3] {
        match self {
            Self::Metric => ["°C", "km/h", "mm"],
            Self::Imperial => ["°F", "mph", "in"],
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) country: Option<String>,
    latitude: f64,
    longitude: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Now {
    /// Local, without seconds: `2026-03-01T14:15`.
    pub(crate) time: String,
    #[serde(rename(deserialize = "temperature_2m"))]
    pub(crate) temperature: f64,
    #[serde(rename(deserialize = "apparent_temperature"))]
    pub(crate) feels_like: f64,
    #[serde(rename(deserialize = "relative_humidity_2m"))]
    pub(crate) humidity: f64,
    pub(crate) precipitation: f64,
    pub(crate) weather_code: u8,
    #[serde(rename(deserialize = "wind_speed_10m"))]
    pub(crate) wind_speed: f64,
    /// Where it comes from, in degrees.
    #[serde(rename(deserialize = "wind_direction_10m"))]
    pub(crate) wind_direction: f64,
}

/// One day; the service leaves out what it cannot tell.
#[derive(Debug, Serialize)]
pub(crate) struct Day {
    pub(crate) date: String,
    pub(crate) weather_code: Option<u8>,
    pub(crate) lowest: Option<f64>,
    pub(crate) highest: Option<f64>,
    pub(crate) precipitation: Option<f64>,
    pub(crate) precipitation_chance: Option<f64>,
    pub(crate) wind_speed: Option<f64>,
}

impl OpenMeteo {
    /// The service that the operator configured.
    pub(crate) fn configured() -> Result<Self, Fault> {
        config::get()
    }

    /// The best known place of this name.
    pub(crate) fn find(&self, name: &str) -> Result<Place, Fault> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(default)]
            results: Vec<Place>,
        }
        let name = name.trim();
        if name.is_empty() {
            return Err(Fault::bad_input("`place` is empty; give a town or a postal code"));
        }
        let search = endpoint(&self.geocoding_base, "/v1/search").query("name", name).query("count", "1");
        let found: Found = fetch(search)?;
        found.results.into_iter().next().ok_or_else(|| {
            Fault::bad_input(format!(
                "no place called `{name}` is known; give a town's name alone, or a postal code"
            ))
        })
    }

    /// The weather there right now.
    pub(crate) fn now(&self, place: &Place, units: Units) -> Result<Now, Fault> {
        #[derive(Deserialize)]
        struct Current {
            current: Now,
        }
        let fields = "temperature_2m,apparent_temperature,relative_humidity_2m,precipitation,weather_code,\
            wind_speed_10m,wind_direction_10m";
        let answer: Current = fetch(self.forecast(place, units).query("current", fields))?;
        Ok(answer.current)
    }

    /// The weather there for this many days, today first.
    pub(crate) fn days(&self, place: &Place, days: u8, units: Units) -> Result<Vec<Day>, Fault> {
        #[derive(Deserialize)]
        struct Forecast {
            daily: Daily,
        }
        let fields = "weather_code,temperature_2m_min,temperature_2m_max,precipitation_sum,\
            precipitation_probability_max,wind_speed_10m_max";
        let request =
            self.forecast(place, units).query("daily", fields).query("forecast_days", &days.to_string());
        let answer: Forecast = fetch(request)?;
        Ok(answer.daily.into())
    }

    fn forecast(&self, place: &Place, units: Units) -> Request {
        let request = endpoint(&self.api_base, "/v1/forecast")
            .query("latitude", &place.latitude.to_string())
            .query("longitude", &place.longitude.to_string())
            .query("timezone", "auto");
        match units {
            Units::Metric => request,
            Units::Imperial => request
                .query("temperature_unit", "fahrenheit")
                .query("wind_speed_unit", "mph")
                .query("precipitation_unit", "inch"),
        }
    }
}

/// A column a quantity, a row a day.
#[derive(Deserialize)]
struct Daily {
    time: Vec<String>,
    weather_code: Vec<Option<u8>>,
    temperature_2m_min: Vec<Option<f64>>,
    temperature_2m_max: Vec<Option<f64>>,
    precipitation_sum: Vec<Option<f64>>,
    precipitation_probability_max: Vec<Option<f64>>,
    wind_speed_10m_max: Vec<Option<f64>>,
}

impl From<Daily> for Vec<Day> {
    fn from(daily: Daily) -> Self {
        let value = |column: &[Option<f64>], row: usize| column.get(row).copied().flatten();
        let rows = daily.time.into_iter().enumerate().map(|(row, date)| Day {
            date,
            weather_code: daily.weather_code.get(row).copied().flatten(),
            lowest: value(&daily.temperature_2m_min, row),
            highest: value(&daily.temperature_2m_max, row),
            precipitation: value(&daily.precipitation_sum, row),
            precipitation_chance: value(&daily.precipitation_probability_max, row),
            wind_speed: value(&daily.wind_speed_10m_max, row),
        });
        rows.collect()
    }
}

fn endpoint(base: &str, path: &str) -> Request {
    http::get(format!("{}{path}", base.trim_end_matches('/')))
        .timeout(Duration::from_secs(10))
        .max_body(1 << 20)
}

fn fetch<T: DeserializeOwned>(request: Request) -> Result<T, Fault> {
    let response = request.send().map_err(in_context)?;
    if response.is_success() {
        return response.json().map_err(in_context);
    }
    let status = response.status;
    let code = if status == 429 { FaultCode::Quota } else { FaultCode::Unavailable };
    // Its refusals look like {"error": true, "reason": "…"}.
    #[derive(Deserialize)]
    struct Refusal {
        reason: String,
    }
    let reason = response.json().map_or(String::new(), |refusal: Refusal| format!(": {}", refusal.reason));
    Err(Fault::new(code, format!("the weather service answered {status}{reason}")))
}

fn in_context(error: http::Error) -> Fault {
    let fault = Fault::from(error);
    Fault::new(fault.code, format!("the weather service gave no answer: {}", fault.message))
}

/// What a WMO weather interpretation code stands for.
pub(crate) fn sky(code: u8) -> &'static str {
    match code {
        0 => "clear sky",
        1 => "mainly clear",
        2 => "partly cloudy",
        3 => "overcast",
        45 | 48 => "fog",
        51 | 53 | 55 => "drizzle",
        56 | 57 => "freezing drizzle",
        61 => "light rain",
        63 => "rain",
        65 => "heavy rain",
        66 | 67 => "freezing rain",
        71 => "light snow",
        73 => "snow",
        75 => "heavy snow",
        77 => "snow grains",
        80 | 81 => "rain showers",
        82 => "violent rain showers",
        85 | 86 => "snow showers",
        95 => "thunderstorm",
        96 | 99 => "thunderstorm with hail",
        _ => "unknown sky",
    }
}

/// The point of the compass nearest to these degrees.
pub(crate) fn compass(degrees: f64) -> &'static str {
    const POINTS: [&str; 8] = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];
    POINTS[(degrees.rem_euclid(360.0) / 45.0).round() as usize % 8]
}
