use super::*;
use prx_sdk::http::{Error, ErrorKind, Request, Response};
use prx_sdk::testing;
use prx_sdk::tool::{self, FaultCode};
use serde_json::Value;

const PLACES: &str = r#"{"results": [{"id": 2267057, "name": "Lisbon", "latitude": 38.71667, "longitude": -9.13333,
    "country_code": "PT", "timezone": "Europe/Lisbon", "population": 517802, "country": "Portugal"}], "generationtime_ms": 0.6}"#;
const NOW: &str = r#"{"latitude": 38.75, "longitude": -9.125, "timezone": "Europe/Lisbon",
    "current_units": {"time": "iso8601", "temperature_2m": "°C"},
    "current": {"time": "2026-03-01T14:15", "interval": 900, "temperature_2m": 17.4, "apparent_temperature": 16.0,
        "relative_humidity_2m": 62, "precipitation": 0.0, "weather_code": 2, "wind_speed_10m": 14.8, "wind_direction_10m": 331}}"#;
const DAYS: &str = r#"{"daily_units": {"time": "iso8601"}, "daily": {"time": ["2026-03-01", "2026-03-02"],
    "weather_code": [61, null], "temperature_2m_min": [11.2, 10.0], "temperature_2m_max": [18.1, null],
    "precipitation_sum": [2.4, 0.0], "precipitation_probability_max": [80, null], "wind_speed_10m_max": [25.5, 19.0]}}"#;

fn serve(respond: impl Fn(&Request) -> Result<Response, Error> + 'static) {
    testing::configure(json!({"api_base": "http://127.0.0.1:9/", "geocoding_base": "http://127.0.0.1:8"}));
    testing::serve(move |request| respond(request));
}

fn good(request: &Request) -> Result<Response, Error> {
    let body = match request.url.split_once('?').unwrap().0 {
        "http://127.0.0.1:8/v1/search" => PLACES,
        "http://127.0.0.1:9/v1/forecast" if request.url.contains("current=") => NOW,
        "http://127.0.0.1:9/v1/forecast" => DAYS,
        other => panic!("{other}"),
    };
    Ok(Response::new(200, body))
}

fn weather(arguments: Value) -> Result<ToolOutput, Fault> {
    tool::call::<GetWeather>(&arguments.to_string(), &CallContext::default())
}

fn forecast(arguments: Value) -> Result<ToolOutput, Fault> {
    tool::call::<GetForecast>(&arguments.to_string(), &CallContext::default())
}

#[test]
fn the_weather_now() {
    serve(good);
    let output = weather(json!({"place": "Lisbon"})).unwrap();
    assert_eq!(
        output.text,
        "Lisbon, Portugal: partly cloudy, 17.4 °C (feels like 16 °C), humidity 62 %, wind 14.8 km/h from NW, \
         precipitation 0 mm; observed at 2026-03-01T14:15 local time."
    );
    let structured: Value = serde_json::from_str(&output.structured.unwrap()).unwrap();
    assert_eq!(structured["now"]["temperature"], 17.4);
    assert_eq!((&structured["place"]["name"], &structured["units"]), (&json!("Lisbon"), &json!("metric")));
}

#[test]
fn the_days_to_come_with_what_is_unknown() {
    serve(good);
    let output = forecast(json!({"place": "Lisbon", "days": 2, "units": "imperial"})).unwrap();
    assert_eq!(
        output.text,
        "Lisbon, Portugal\n\
         2026-03-01: light rain, 11.2 to 18.1 °F, precipitation 2.4 in (80 % likely), wind up to 25.5 mph\n\
         2026-03-02: unknown sky, 10 to ? °F, precipitation 0 in, wind up to 19 mph"
    );
}

#[test]
fn what_is_asked_of_the_service() {
    serve(|request| {
        if request.url.contains("/v1/search") {
            assert_eq!(request.url, "http://127.0.0.1:8/v1/search?name=S%C3%A3o%20Paulo%20%26%20co&count=1");
            return good(request);
        }
        assert!(request.url.starts_with(
            "http://127.0.0.1:9/v1/forecast?latitude=38.71667&longitude=-9.13333&timezone=auto&"
        ));
        assert!(
            request.url.contains("&temperature_unit=fahrenheit&wind_speed_unit=mph&precipitation_unit=inch&")
        );
        assert!(request.url.ends_with("&forecast_days=5"));
        good(request)
    });
    forecast(json!({"place": " São Paulo & co ", "days": 5, "units": "imperial"})).unwrap();
}

#[test]
fn arguments_that_make_no_sense_are_refused_before_anything_is_asked() {
    serve(|request| panic!("{request:?}"));
    let refused = [
        (weather(json!({})), "missing field `place`"),
        (weather(json!({"place": 7})), "invalid type: integer `7`"),
        (
            weather(json!({"place": "Lisbon", "units": "kelvin"})),
            "unknown variant `kelvin`, expected `metric` or `imperial`",
        ),
        (weather(json!({"place": "  "})), "`place` is empty"),
        (forecast(json!({"place": "Lisbon", "days": 17})), "`days` is 17; it must be from 1 to 16"),
        (forecast(json!({"place": "Lisbon", "days": -1})), "invalid value: integer `-1`"),
    ];
    for (outcome, expected) in refused {
        let fault = outcome.unwrap_err();
        assert_eq!(fault.code, FaultCode::BadInput);
        assert!(fault.message.contains(expected), "{}", fault.message);
    }
}

#[test]
fn an_unknown_place_is_named() {
    serve(|_| Ok(Response::new(200, r#"{"generationtime_ms": 0.4}"#)));
    let fault = weather(json!({"place": "Atlantis"})).unwrap_err();
    assert_eq!(fault.code, FaultCode::BadInput);
    assert!(fault.message.starts_with("no place called `Atlantis` is known"));
}

#[test]
fn a_service_that_fails_is_told_apart_from_a_wrong_question() {
    let outcome = |status: u16, body: &'static str| {
        serve(move |_| Ok(Response::new(status, body)));
        weather(json!({"place": "Lisbon"})).unwrap_err()
    };
    assert_eq!(
        outcome(400, r#"{"error": true, "reason": "Parameter count must be between 1 and 100."}"#),
        Fault::unavailable("the weather service answered 400: Parameter count must be between 1 and 100.")
    );
    assert_eq!(outcome(429, "slow down"), Fault::new(FaultCode::Quota, "the weather service answered 429"));
    assert_eq!(outcome(503, "<html>"), Fault::unavailable("the weather service answered 503"));
    assert!(
        outcome(200, "<html>")
            .message
            .starts_with("the weather service gave no answer: an answer that makes no sense")
    );

    serve(|_| Err(Error::new(ErrorKind::Timeout, "connecting took too long")));
    let fault = weather(json!({"place": "Lisbon"})).unwrap_err();
    assert_eq!(
        fault,
        Fault::new(FaultCode::Timeout, "the weather service gave no answer: connecting took too long")
    );
}

#[test]
fn winds_come_from_where_they_say() {
    assert_eq!(
        [0.0, 22.4, 22.6, 90.0, 359.0, 337.4, -45.0].map(open_meteo::compass),
        ["N", "N", "NE", "E", "N", "NW", "NW"]
    );
}
