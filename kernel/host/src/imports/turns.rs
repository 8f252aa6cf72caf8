//! `prx:plugin/turns`: turns on behalf of whoever calls a route.

use std::time::Duration;

use tokio::time::timeout;
use wasmtime::component::Resource;

use super::host::Host;
use crate::bindings::common::{Fault, FaultCode, ToolSpec};
use crate::bindings::turns::{self, Input, Opening, Piece};
use crate::scope::WantedTurn;
use crate::turn_handle::TurnHandle;

/// Most turns that one call follows at a time.
const MAX_TURNS: usize = 4;
/// After how long a silence a guest is told that the turn goes on: 15 seconds, or half of its deadline if that is less.
const WAIT: Duration = Duration::from_secs(15);

impl turns::Host for Host {
    async fn start(
        &mut self,
        opening: Opening,
        input: Vec<Input>,
        tools: Vec<ToolSpec>,
        options: String,
    ) -> wasmtime::Result<Result<Resource<TurnHandle>, Fault>> {
        let Some(turns) = self.call.scope.turns.clone() else { return Ok(Err(nobody())) };
        if self.call.turns.len() >= MAX_TURNS {
            let message = format!("a call follows {MAX_TURNS} turns at most; drop one");
            return Ok(Err(Fault { code: FaultCode::Quota, message }));
        }
        let mut kept = Vec::with_capacity(input.len());
        for said in input {
            kept.push(match said {
                Input::User((text, files)) => Input::User((text, self.keep_named(files).await)),
                other => other,
            });
        }
        let started = turns.start(WantedTurn { opening, input: kept, tools, options }).await;
        self.meter.hear();
        let turn = match started {
            Ok(turn) => turn,
            Err(fault) => return Ok(Err(fault)),
        };
        let handle = (0..).find(|handle| !self.call.turns.contains_key(handle)).unwrap_or_default();
        let resource = self.table.push(TurnHandle(handle))?;
        self.call.turns.insert(handle, turn);
        Ok(Ok(resource))
    }

    fn agents(&mut self) -> wasmtime::Result<Result<Vec<String>, Fault>> {
        Ok(self.call.scope.turns.as_ref().ok_or_else(nobody).and_then(|turns| turns.agents()))
    }
}

impl turns::HostTurn for Host {
    /// How long a turn takes is the turn's own affair, which has its limits: the call is heard meanwhile.
    async fn next(&mut self, turn: Resource<TurnHandle>) -> wasmtime::Result<Option<Piece>> {
        let TurnHandle(handle) = self.table.get(&turn)?;
        let wait = WAIT.min(self.shared.links.limits.deadline / 2);
        let Some(turn) = self.call.turns.get_mut(handle) else { return Ok(None) };
        let piece = timeout(wait, turn.next()).await.unwrap_or(Some(Piece::Waiting));
        self.meter.hear();
        Ok(piece)
    }

    fn drop(&mut self, turn: Resource<TurnHandle>) -> wasmtime::Result<()> {
        let TurnHandle(handle) = self.table.delete(turn)?;
        self.call.turns.remove(&handle);
        Ok(())
    }
}

fn nobody() -> Fault {
    Fault {
        code: FaultCode::Denied,
        message: "turns begin on behalf of whoever calls a route; nobody does".to_owned(),
    }
}
