//! BM25: a memory fits the better, the rarer the words that it shares with the question, the more often they are in
//! it, and the shorter it is.

use std::cmp::Ordering;
use std::collections::HashMap;

use prx_store::WordHits;

/// How soon a further mention of a word counts for little.
const SATURATION: f64 = 1.2;
/// How much a long text has to say more often.
const LENGTH: f64 = 0.75;

/// The ids of the `limit` memories that fit best, the best first; of equals the newest.
pub(super) fn best(found: WordHits, limit: usize) -> Vec<String> {
    let memories = found.memories as f64;
    let average = found.words as f64 / memories.max(1.0);
    let mut scores: HashMap<String, f64> = HashMap::new();
    for hits in found.hits {
        let with = hits.len() as f64;
        let rarity = (1.0 + (memories - with + 0.5) / (with + 0.5)).ln();
        for hit in hits {
            let count = f64::from(hit.count);
            let length = 1.0 - LENGTH + LENGTH * f64::from(hit.words) / average.max(1.0);
            let share = count * (SATURATION + 1.0) / (count + SATURATION * length);
            *scores.entry(hit.id).or_default() += rarity * share;
        }
    }
    let mut ranked: Vec<(String, f64)> = scores.into_iter().collect();
    ranked.sort_by(|(a, left), (b, right)| match right.total_cmp(left) {
        Ordering::Equal => b.cmp(a),
        unequal => unequal,
    });
    ranked.into_iter().take(limit).map(|(id, _)| id).collect()
}
