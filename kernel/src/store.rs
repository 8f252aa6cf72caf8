use crate::clock::Clock;
use crate::error::Result;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
#[derive(Clone, Debug)]
pub struct Store(Arc<Mutex<BTreeMap<String, TokenRecord>>>, Clock);
#[derive(Clone, Debug)]
pub struct TokenRecord {
    pub id: String,
    pub name: String,
    pub sha256: [u8; 32],
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}
impl Store {
    pub fn open(_: &Path, c: Clock) -> Result<Store> {
        Ok(Store(Arc::default(), c))
    }
    pub async fn add_token(&self, r: TokenRecord) -> Result<()> {
        self.0.lock().unwrap().insert(r.id.clone(), r);
        Ok(())
    }
    pub fn token(&self, id: &str) -> Result<Option<TokenRecord>> {
        Ok(self.0.lock().unwrap().get(id).cloned())
    }
    pub fn tokens(&self) -> Result<Vec<TokenRecord>> {
        Ok(self.0.lock().unwrap().values().cloned().collect())
    }
    pub async fn revoke_token(&self, id: &str) -> Result<()> {
        self.0.lock().unwrap().get_mut(id).unwrap().revoked_at = Some(self.1.now());
        Ok(())
    }
    pub async fn touch_tokens(&self, v: Vec<(String, Timestamp)>) -> Result<()> {
        for (i, t) in v {
            self.0.lock().unwrap().get_mut(&i).unwrap().last_used_at = Some(t);
        }
        Ok(())
    }
}
