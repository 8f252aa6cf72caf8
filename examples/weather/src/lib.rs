//! Tools that ask a weather service over HTTP.

mod open_meteo;
#[cfg(test)]
mod tests;

use open_meteo::{Day, Now, OpenMeteo, Place, Units};
use prx_sdk::tool::{CallContext, Fault, ToolOutput, TypedTool};
use serde::Deserialize;
use serde_json::json;

/// The weather at a place now.
#[derive(Deserialize)]
struct GetWeather {
    place: String,
    #[serde(default)]
    units: Units,
}

impl TypedTool for GetWeather {
    const NAME: &str = "get_weather";
    const DESCRIPTION: &str =
        "The weather at a place right now: sky, temperature, humidity, wind, precipitation.";
    const PARAMETERS: &str = r#"{
        "type": "object",
        "properties": {
            "place": { "type": "string", "description": "A town or a postal code, e.g. \"Lisbon\"" },
            "units": { "type": "string", "enum": ["metric", "imperial"], "default": "metric" }
        },
        "required": ["place"]
    }"#;
    const READ_ONLY: bool = true;

    fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
        let service = OpenMeteo::configured()?;
        let place = service.find(&self.place)?;
        let now = service.now(&place, self.units)?;
        let text = format!("{place}: {}", say_now(&now, self.units));
        Ok(ToolOutput::structured(text, &json!({"place": place, "units": self.units, "now": now})))
    }
}

/// The weather at a place in the days to come.
#[derive(Deserialize)]
struct GetForecast {
    place: String,
    #[serde(default = "three")]
    days: u8,
    #[serde(default)]
    units: Units,
}

fn three() -> u8 {
    3
}

impl TypedTool for GetForecast {
    const NAME: &str = "get_forecast";
    const DESCRIPTION: &str = "The weather at a place for up to 16 days, today first: sky, lowest and highest \
        temperature, precipitation, wind.";
    const PARAMETERS: &str = r#"{
        "type": "object",
        "properties": {
            "place": { "type": "string", "description": "A town or a postal code, e.g. \"Lisbon\"" },
            "days": { "type": "integer", "minimum": 1, "maximum": 16, "default": 3 },
            "units": { "type": "string", "enum": ["metric", "imperial"], "default": "metric" }
        },
        "required": ["place"]
    }"#;
    const READ_ONLY: bool = true;

    fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
        if !(1..=16).contains(&self.days) {
            return Err(Fault::bad_input(format!("`days` is {}; it must be from 1 to 16", self.days)));
        }
        let service = OpenMeteo::configured()?;
        let place = service.find(&self.place)?;
        let days = service.days(&place, self.days, self.units)?;
        let lines: Vec<_> =
            days.iter().map(|day| format!("{}: {}", day.date, say_day(day, self.units))).collect();
        let text = format!("{place}\n{}", lines.join("\n"));
        Ok(ToolOutput::structured(text, &json!({"place": place, "units": self.units, "days": days})))
    }
}

prx_sdk::plugin! { tools: [GetWeather, GetForecast], manifest: "plugin.toml" }

fn say_now(now: &Now, units: Units) -> String {
    let [degrees, speed, depth] = units.symbols();
    format!(
        "{}, {} {degrees} (feels like {} {degrees}), humidity {} %, wind {} {speed} from {}, precipitation {} {depth}; \
         observed at {} local time.",
        open_meteo::sky(now.weather_code),
        now.temperature,
        now.feels_like,
        now.humidity,
        now.wind_speed,
        open_meteo::compass(now.wind_direction),
        now.precipitation,
        now.time
    )
}

fn say_day(day: &Day, units: Units) -> String {
    let [degrees, speed, depth] = units.symbols();
    let number = |value: Option<f64>| value.map_or("?".to_owned(), |value| value.to_string());
    let chance = day.precipitation_chance.map_or(String::new(), |chance| format!(" ({chance} % likely)"));
    format!(
        "{}, {} to {} {degrees}, precipitation {} {depth}{chance}, wind up to {} {speed}",
        day.weather_code.map_or("unknown sky", open_meteo::sky),
        number(day.lowest),
        number(day.highest),
        number(day.precipitation),
        number(day.wind_speed)
    )
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.country.as_ref().map_or(Ok(()), |country| write!(f, ", {country}"))
    }
}
