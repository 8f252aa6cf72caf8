//! Guests small enough to be written by hand.

use bytes::Bytes;

/// The types of `tool`, each under its name, as a component has to export them.
const TYPES: &str = r#"
    (type $code' (enum "bad-input" "bad-config" "denied" "unavailable" "timeout" "quota" "too-large" "internal"))
    (export $code "fault-code" (type $code'))
    (type $fault' (record (field "code" $code) (field "message" string)))
    (export $fault "fault" (type $fault'))
    (type $kind' (enum "image" "audio" "video" "document" "other"))
    (export $kind "attachment-kind" (type $kind'))
    (type $attachment' (record (field "blob" string) (field "kind" $kind) (field "name" (option string))
        (field "mime" (option string)) (field "size" u64)))
    (export $attachment "attachment" (type $attachment'))
    (type $info' (record (field "name" string) (field "description" string) (field "parameters" string)
        (field "read-only" bool)))
    (export $info "tool-info" (type $info'))
    (type $context' (record (field "session" (option string)) (field "call" string) (field "user" (option string))))
    (export $context "call-context" (type $context'))
    (type $output' (record (field "text" string) (field "structured" (option string))
        (field "attachments" (list $attachment))))
    (export $output "tool-output" (type $output'))
"#;

/// A tool that does `body` and then answers with its arguments; `more` is the rest of its module.
pub(super) fn tool(body: &str, more: &str) -> Bytes {
    importing("", body, more)
}

/// The same, of a component that also imports something and makes no use of it.
pub(super) fn importing(import: &str, body: &str, more: &str) -> Bytes {
    component(import, body, more, "")
}

/// A tool that answers with its arguments, and does `body` when its answer has been taken.
pub(super) fn leaving(body: &str) -> Bytes {
    let after = format!(r#"(func (export "after") (param i32) {body})"#);
    component("", "", &after, r#"(post-return (func $guest "after"))"#)
}

fn component(import: &str, body: &str, more: &str, lift: &str) -> Bytes {
    text(&format!(
        r#"(component {import}
        (core module $module
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 8192))
            (global $calls (mut i32) (i32.const 0))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "tools") (result i32) (i32.const 1024))
            (func (export "call") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                (i32.store (i32.const 2052) (local.get 2))
                (i32.store (i32.const 2056) (local.get 3))
                {body}
                (i32.const 2048))
            {more})
        (core instance $guest (instantiate $module))
        {TYPES}
        (func $tools (result (list $info)) (canon lift (core func $guest "tools") (memory $guest "memory")))
        (func $call (param "name" string) (param "arguments" string) (param "context" $context)
            (result (result $output (error $fault)))
            (canon lift (core func $guest "call") (memory $guest "memory") (realloc (func $guest "realloc")) {lift}))
        (instance $tool (export "tools" (func $tools)) (export "call" (func $call)))
        (export "prx:plugin/tool@0.2.0" (instance $tool)))"#
    ))
}

/// A component written as text.
pub(super) fn text(component: &str) -> Bytes {
    wat::parse_str(component).unwrap().into()
}
