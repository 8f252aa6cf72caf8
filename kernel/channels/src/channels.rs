//! The handle to all configured channels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc::error::TrySendError;
use tracing::Instrument;

use super::control::Control;
use super::health::State;
use super::log::span;
use super::running::{Running, SHUTDOWN_TIMEOUT, Stopping, stop_all};
use super::services::Services;
use super::setup::plugin;
use super::status::ChannelStatus;
use super::swap_progress::{Swap, wait_for_outcome};
use super::webhook::{Webhook, WebhookReply};
use super::webhooks::Webhooks;
use prx_base::Base;
use prx_base::error::{Error, Result};
use prx_egress::Egress;
use prx_host::{Placed, Plugins, Status};
use prx_store::{Command, Store};

/// A cheap-clone handle to all configured channels.
#[derive(Clone)]
pub struct Channels {
    services: Services,
    running: Arc<Mutex<BTreeMap<String, Running>>>,
}

impl Channels {
    /// Starts every configured channel, and from then on follows the configuration. `command` tells what a message
    /// asks of the gateway itself, as opposed to the agent.
    pub fn start(
        base: Base,
        store: Store,
        egress: Egress,
        plugins: Plugins,
        command: fn(&str) -> Option<Command>,
    ) -> Self {
        let services = Services { base, store, egress, plugins, command };
        let channels = Self { services, running: Arc::default() };
        let mut changes = channels.services.base.config.subscribe();
        channels.start_missing();
        let following = channels.clone();
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                following.stop_changed().await;
                following.start_missing();
            }
        });
        channels
    }

    /// Returns every configured channel, by name.
    pub fn list(&self) -> Vec<ChannelStatus> {
        let now = self.services.base.clock.now();
        let status = |(name, channel): (&String, &Running)| {
            ChannelStatus::new(name, plugin(name, &channel.settings), &channel.health.borrow(), now)
        };
        self.running().iter().map(status).collect()
    }

    /// Returns one channel.
    ///
    /// # Errors
    /// `not_found` when none of that name is configured.
    pub fn get(&self, name: &str) -> Result<ChannelStatus> {
        let found = self.list().into_iter().find(|channel| channel.name == name);
        found.ok_or_else(|| Error::not_found("Channel", name))
    }

    /// Has a channel close its connection, and connect anew once that is done.
    ///
    /// # Errors
    /// `not_found` when none of that name is configured; `conflict` when its plugin is disabled.
    pub fn restart(&self, name: &str) -> Result<()> {
        let ChannelStatus { state, plugin, .. } = self.get(name)?;
        if state == State::Disabled {
            let message = format!("Channel {name} can't connect: its plugin {plugin} is disabled; enable it");
            return Err(Error::conflict(message));
        }
        let mut running = self.running();
        let Some(channel) = running.get_mut(name) else { return Err(Error::not_found("Channel", name)) };
        if channel.task.is_none() {
            // It will be, with its new configuration.
            return Ok(());
        }
        match channel.control.try_send(Control::Restart) {
            // It is asked to already.
            Ok(()) | Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Closed(_)) => {
                *channel = Running::start(&self.services, name, &channel.settings);
            }
        }
        Ok(())
    }

    /// Restarts the channels of a plugin, after a change of what it is granted.
    pub fn restart_those_of(&self, plugin: &str) {
        for channel in self.list().into_iter().filter(|channel| channel.plugin == plugin) {
            // One that is disabled or gone by now has nothing to restart.
            let _ = self.restart(&channel.name);
        }
    }

    /// Waits for the outcome of a swap of a plugin's code: until its channels have taken the new code over and tried
    /// it, or for a timeout. None: it has no channels, or does not serve.
    pub async fn wait_for_swap(&self, placed: &Placed) -> Option<Swap> {
        let status = self.services.plugins.get(&placed.name).ok()?;
        let outcomes: Vec<_> = {
            let running = self.running();
            let its = running.iter().filter(|(name, channel)| plugin(name, &channel.settings) == placed.name);
            its.map(|(_, channel)| wait_for_outcome(channel.swap.clone(), placed.to)).collect()
        };
        if outcomes.is_empty() || status.status != Status::Loaded {
            return None;
        }
        let swaps = join_all(outcomes).await;
        Some(swaps.into_iter().flatten().fold(Swap::default(), Swap::merge))
    }

    /// Checks that a channel runs and can be given a webhook, so that no body is read in vain.
    ///
    /// # Errors
    /// `not_found` when no channel of that name is configured; `unavailable` when it does not run.
    pub fn expects_webhooks(&self, name: &str) -> Result<()> {
        self.webhooks(name)?.check_open()
    }

    /// Hands a webhook to a channel's connector, and returns its answer once what it follows from is committed.
    ///
    /// # Errors
    /// `not_found` when no channel of that name is configured; `unauthorized` when it does not show what the
    /// manifest's rule asks for; `unavailable` when the channel does not run, too many are pending, or the connector
    /// failed on it; `gateway_timeout` when the connector takes too long.
    pub async fn receive_webhook(&self, name: &str, webhook: Webhook) -> Result<WebhookReply> {
        let webhooks = self.webhooks(name)?;
        webhooks.receive(&self.services.base.clock, webhook).instrument(span(name)).await
    }

    /// Closes every channel politely, and returns when all are closed. One that is not within `limit` is cut off.
    pub async fn stop(&self, limit: Duration) {
        let all = std::mem::take(&mut *self.running());
        stop_all(all.into_iter().filter_map(|(name, mut channel)| channel.begin_shutdown(name)), limit).await;
    }

    /// Stops the channels that are configured otherwise than they run. They are listed, and their addresses known,
    /// until others take their place.
    async fn stop_changed(&self) {
        let config = self.services.base.config.current();
        let wanted = &config.components.channels_config;
        let changed: Vec<Stopping> = {
            let mut running = self.running();
            let changed =
                running.iter_mut().filter(|(name, channel)| wanted.get(*name) != Some(&channel.settings));
            changed.filter_map(|(name, channel)| channel.begin_shutdown(name.clone())).collect()
        };
        stop_all(changed, SHUTDOWN_TIMEOUT).await;
    }

    fn start_missing(&self) {
        let config = self.services.base.config.current();
        let mut running = self.running();
        running.retain(|_, channel| channel.task.is_some());
        for (name, settings) in &config.components.channels_config {
            if !running.contains_key(name) {
                running.insert(name.clone(), Running::start(&self.services, name, settings));
            }
        }
    }

    fn webhooks(&self, name: &str) -> Result<Arc<Webhooks>> {
        let webhooks = self.running().get(name).map(|channel| channel.webhooks.clone());
        webhooks.ok_or_else(|| Error::not_found("Channel", name))
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
