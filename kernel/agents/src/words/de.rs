//! German.

use super::sentences::Words;

pub(super) const WORDS: Words = Words {
    allow: "Einmal erlauben",
    deny: "Ablehnen",
    yes: "Ja",
    no: "Nein",
    may_call: "Darf ich das Werkzeug `{}` damit aufrufen?",
    server_asks: "Der MCP-Server `{}` fragt:",
    page: "Er möchte, dass du diese Seite öffnest. Sieh nach, wohin sie führt: Antworte Ja, wenn du sie geöffnet hast, und Nein, wenn du ihr nicht traust.",
    yes_answers: "Ja antwortet dies:",
    stopped: "Angehalten.",
    empty_answer: "Das Modell hat eine leere Antwort gegeben.",
    broke_off: "[Die Antwort bricht hier ab: Es kam nichts mehr. Bitte mich fortzufahren.]",
    unanswered: "Diese Nachricht konnte nicht beantwortet werden: {}",
    begin_another: "Wenn das so bleibt, beginnt {} ein neues Gespräch",
    files_left_out: "Ihre Dateien bleiben ab hier aus dem Gespräch; wenn das so bleibt, sag {}",
    unchecked: "Das wurde angehalten, denn es konnte nicht geprüft werden: Der Filter {} tut gerade nicht, was er soll. Wer dieses Gateway betreibt, kann sehen, warum.",
    agent_is_down: "Diese Nachricht konnte nicht beantwortet werden: Der Agent ist gerade nicht richtig eingerichtet. Wer ihn betreibt, kann sehen, warum; versuch es bitte später noch einmal.",
};
