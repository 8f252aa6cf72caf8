//! Connector for the Telegram Bot API.
