//! German.

use super::Words;

pub(crate) const WORDS: Words = Words {
    new_conversation: "Das ist ein neues Gespräch: Was vorher gesagt wurde, bleibt zurück.",
    help: "Sprich mit mir, oder sag eines davon:",
    commands: &[
        ("/new", "beginnt ein neues Gespräch"),
        ("/stop", "bricht die Antwort ab, die gerade entsteht"),
        ("/compact", "fasst das bisher Gesagte zusammen, damit Platz für mehr ist"),
        ("/model", "zeigt die Modelle oder nimmt ein anderes: /model NAME"),
        ("/status", "zeigt das Modell und wie viel gesagt wurde"),
        ("/help", "zeigt dies"),
    ],
    skills: "Diese bringen eine Fähigkeit ein:",
    status_model: "Modell: {}",
    status_history: "Nachrichten im Blick: {}, etwa {} Tokens",
    status_summary: "Was davor gesagt wurde, ist zusammengefasst.",
    model_chosen: "Ab jetzt antwortet {}.",
    model_unknown: "Ein Modell {} kann hier nicht gewählt werden.",
    models: "Diese können gewählt werden:",
    compacted: "{} Nachrichten sind zusammengefasst.",
    nothing_to_compact: "Es gibt zu wenig zusammenzufassen.",
    cut_off: "[Die Antwort bricht hier ab: Sie hat die größte Länge erreicht, die der Anbieter erlaubt (max_tokens in dessen Einstellungen). Bitte mich fortzufahren.]",
    refused: "[Das Modell will darauf nicht antworten.]",
    no_calls_left: "Es gibt noch keine Antwort, und dieser Zug hat seine {} Werkzeugaufrufe gemacht. Bitte mich fortzufahren.",
    forgotten: "[Was früher gesagt wurde, passt nicht mehr ins Modell und konnte nicht zusammengefasst werden.]",
    session_ends: "[Diese Sitzung endet hier, denn sie hatte alle ihre Züge (agent.max_turns); die nächste Nachricht beginnt eine neue, die weiß, was wir gesagt haben.]",
    session_ends_in_part: "[Diese Sitzung endet hier, denn sie hatte alle ihre Züge (agent.max_turns); die nächste Nachricht beginnt eine neue, die nur das Letzte davon weiß.]",
    part_is_known: "[Seit wir zuletzt sprachen, hat eine neue Sitzung begonnen; von dem, was davor war, weiß ich nur das Letzte.]",
};
