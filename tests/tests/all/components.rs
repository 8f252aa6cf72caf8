//! What the components in this repository do for someone who uses them.

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::origin::Origin;
use prx_tests::scripted;
use serde_json::{Value, json};

async fn say(gateway: &Gateway, session: &str, text: &str) -> String {
    let path = format!("/sessions/{session}/messages");
    let reply = gateway.client().post(&path, json!({"content": text})).await.expect(200);
    reply["content"].as_str().unwrap_or_default().to_owned()
}

/// A gateway with the weather example, whose services are this one.
async fn with_weather(service: &str) -> Gateway {
    let home = Home::new(&format!(
        "[plugins_config.weather]\napi_base = {service:?}\ngeocoding_base = {service:?}\n[grants.weather]\nhttp = \
         [\"https://api.open-meteo.com\", \"https://geocoding-api.open-meteo.com\"]\n"
    ));
    home.place_plugin("weather", &Component::of("prx-weather").bytes());
    Gateway::start_in(home).await
}

fn lisbon() -> Value {
    json!({"results": [{"name": "Lisbon", "country": "Portugal", "latitude": 38.7, "longitude": -9.1}]})
}

#[tokio::test]
async fn the_weather_is_asked_where_the_operator_says() {
    let service = Origin::start().await;
    service.answer("/v1/search", lisbon());
    service.answer(
        "/v1/forecast",
        json!({
            "current": {
                "time": "2026-03-01T14:15", "temperature_2m": 17.5, "apparent_temperature": 16.0,
                "relative_humidity_2m": 60.0, "precipitation": 0.0, "weather_code": 1, "wind_speed_10m": 12.0,
                "wind_direction_10m": 270.0,
            },
            "daily": {
                "time": ["2026-03-01", "2026-03-02"], "weather_code": [1, 61], "temperature_2m_min": [10.1, 9.5],
                "temperature_2m_max": [18.0, 15.5], "precipitation_sum": [0.0, 4.2],
                "precipitation_probability_max": [5.0, 80.0], "wind_speed_10m_max": [14.0, 30.0],
            },
        }),
    );
    let gateway = with_weather(&service.url()).await;
    let plugin = gateway.plugin("weather").await.unwrap();
    assert_eq!(plugin["capabilities"], json!(["tool:get_weather", "tool:get_forecast"]), "{plugin}");

    let now = gateway.call_tool("get_weather", json!({"place": "Lisbon"})).await.expect(200);
    let text = now["content"].as_str().unwrap();
    assert!(text.contains("Lisbon, Portugal") && text.contains("17.5"), "{text}");
    let days = gateway.call_tool("get_forecast", json!({"place": "Lisbon", "days": 2})).await.expect(200);
    assert!(days["content"].as_str().unwrap().contains("2026-03-02"), "{days}");
    assert!(
        service.asked().iter().any(|asked| asked.starts_with("/v1/search?name=Lisbon")),
        "{:?}",
        service.asked()
    );

    let session = gateway.open_session("ada").await;
    let reply = say(&gateway, &session, "/tool get_weather {\"place\": \"Lisbon\"}").await;
    assert!(reply.contains("17.5"), "{reply}");
}

#[tokio::test]
async fn a_service_that_fails_is_an_answer_and_no_failure() {
    let service = Origin::start().await;
    service.answer("/v1/search", json!({"results": []}));
    let gateway = with_weather(&service.url()).await;
    let unknown = gateway.call_tool("get_weather", json!({"place": "Nowhere at all"})).await;
    assert!(String::from_utf8_lossy(&unknown.body).contains("Nowhere at all"), "{unknown}");
    service.answer("/v1/search", lisbon());
    let down = gateway.call_tool("get_weather", json!({"place": "Lisbon"})).await;
    assert!(down.status != 200 || down.json()["is_error"] == true, "{down}");
    let session = gateway.open_session("ada").await;
    let reply = say(&gateway, &session, "/tool get_weather {\"place\": \"Lisbon\"}").await;
    assert!(reply.contains("failed"), "the turn goes on with the tool's failure: {reply}");
}

#[tokio::test]
async fn a_summary_needs_no_model() {
    let gateway = Gateway::start("").await;
    let session = gateway.open_session("ada").await;
    let long = "The harbour was closed for three days because of the storm. Ships waited outside the harbour until the \
                storm had passed. A gull sat on the pier. The harbour master said that no ship was lost in the storm. \
                Someone sold ice cream. When the harbour opened again, forty ships came in within an hour.";
    let summary = say(&gateway, &session, &format!("/summarize {long}")).await;
    assert!(!summary.is_empty() && summary.chars().count() < long.chars().count(), "{summary}");
    assert!(summary.contains("harbour"), "{summary}");
    assert!(!summary.contains("stand-in"), "the skill answers, not the provider: {summary}");

    gateway.client().post("/plugins/skills/disable", json!({})).await.expect(200);
    let echoed = say(&gateway, &session, &format!("/summarize {long}")).await;
    assert!(echoed.contains("stand-in"), "without the skill it is a text like any other: {echoed}");
}

#[tokio::test]
async fn a_review_instructs_the_provider() {
    let home = scripted::home(&json!([{"answers": [[{"show": "request"}]]}]), "");
    let gateway = Gateway::start_in(home).await;
    let session = gateway.open_session("ada").await;
    let told = async |text: &str| -> Vec<String> {
        let request: Value = serde_json::from_str(&say(&gateway, &session, text).await).unwrap();
        let messages = request["messages"].as_array().unwrap().iter().filter(|said| said["role"] == "user");
        messages.map(|said| said["text"].as_str().unwrap().to_owned()).collect()
    };
    let reviewed = told("/review fn main() { loop {} }").await;
    assert!(reviewed[0].starts_with("You are reviewing code"), "{reviewed:?}");
    assert_eq!(reviewed[1..], ["/review fn main() { loop {} }"]);
    let plain = told("fn main() {}").await;
    assert_eq!(plain, ["/review fn main() { loop {} }", "fn main() {}"], "for that turn only");
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_an_answer() {
    let gateway = Gateway::start("").await;
    let session = gateway.open_session("ada").await;
    let reply = say(&gateway, &session, "/tool launch_rocket {}").await;
    assert!(reply.contains("launch_rocket"), "{reply}");
}
