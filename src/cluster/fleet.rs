//! All Deployments that a policy asks for: one watch for Deployments and one for RolloutPolicies, however many of either there are. Of each
//! Deployment only that is kept which matters here.

mod light;
mod roll;
mod scribe;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::mpsc;

use self::light::Light;
use self::roll::Roll;
use self::scribe::Scribe;
use super::policy;
use crate::domain::policy::Key;
use crate::domain::policy::plan::Watched;

/// Objects are listed so many at a time.
const PAGE: u32 = 200;
/// When the API knows no RolloutPolicies, or does not let them be read, it is asked again after this.
const LOOK_AGAIN: Duration = Duration::from_mins(5);
/// When it knew them before, it is asked once more before they count as gone: one that starts may not know all kinds yet.
const CONFIRM: Duration = Duration::from_secs(10);

/// What the watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Sighting {
    /// A Deployment that a policy asks for, or how it is now.
    Seen(Key, Box<Watched>),
    /// It is gone, or nobody asks for it any more.
    Gone(Key),
    /// All there are were told once.
    Listed,
    /// The API does not answer, and why.
    Lost(String),
    /// It answers again.
    Restored,
}

/// Watches until the receiver is gone. What breaks is retried. All namespaces, unless one is named. `writer` writes how policies stand.
pub async fn follow(reader: Client, writer: Client, namespace: Option<String>, out: mpsc::Sender<Sighting>) {
    let api: Api<Light> = super::within(&reader, namespace.as_deref());
    let mut deployments = std::pin::pin!(super::watch::stream(api, config()));
    let policies = policy::api(&reader, namespace.as_deref());
    let mut rules = look(&policies, Duration::ZERO);
    let mut fleet = Fleet::new(writer);
    loop {
        let news = tokio::select! {
            () = out.closed() => return,
            Some(item) = deployments.next() => fleet.deployment(item),
            Some(item) = rules.next() => match item {
                Err(error) if let Some(code) = absent(&error) => {
                    let (news, pause) = fleet.no_policies(code);
                    rules = look(&policies, pause);
                    news
                }
                item => fleet.policy(item),
            },
            Some(done) = fleet.scribe.done() => {
                fleet.scribe.take(done);
                Vec::new()
            }
        };
        for sighting in news {
            if out.send(sighting).await.is_err() {
                return;
            }
        }
    }
}

fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// The policies, from after `pause` on.
fn look(api: &Api<DynamicObject>, pause: Duration) -> BoxStream<'static, watcher::Result<Event<DynamicObject>>> {
    let api = api.clone();
    stream::once(tokio::time::sleep(pause)).flat_map(move |()| super::watch::stream(api.clone(), config()).boxed()).boxed()
}

/// The code with which the API says that it does not have the kind, or does not show it.
fn absent(error: &watcher::Error) -> Option<u16> {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))
    | watcher::Error::WatchFailed(kube::Error::Api(status))
    | watcher::Error::WatchError(status)) = error
    else {
        return None;
    };
    let code = status.code;
    matches!(code, 403 | 404).then_some(code)
}

/// What is known of one kind's list.
#[derive(Default)]
struct Listing {
    /// Seen since the list began.
    seen: BTreeSet<Key>,
    /// It was whole once.
    whole: bool,
    broken: bool,
}

/// What an event comes down to.
enum Change<K> {
    Is(Key, K),
    Gone(Key),
}

impl Listing {
    /// The changes that an event brings. `known` are all that were there so far.
    fn changes<K>(&mut self, event: Event<K>, key: fn(&K) -> Key, known: impl FnOnce() -> Vec<Key>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.seen.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let key = key(&object);
                self.seen.insert(key.clone());
                vec![Change::Is(key, object)]
            }
            Event::Apply(object) => vec![Change::Is(key(&object), object)],
            Event::Delete(object) => vec![Change::Gone(key(&object))],
            Event::InitDone => {
                self.whole = true;
                let seen = std::mem::take(&mut self.seen);
                known().into_iter().filter(|key| !seen.contains(key)).map(Change::Gone).collect()
            }
        }
    }
}

/// Both lists, and what is made of them.
struct Fleet {
    deployments: Listing,
    policies: Listing,
    roll: Roll,
    scribe: Scribe,
    /// The API said that it knows no policies, although it knew them before.
    doubted: bool,
    /// All there are were told.
    listed: bool,
}

impl Fleet {
    fn new(writer: Client) -> Self {
        Self {
            deployments: Listing::default(),
            policies: Listing::default(),
            roll: Roll::default(),
            scribe: Scribe::new(writer),
            doubted: false,
            listed: false,
        }
    }

    fn deployment(&mut self, item: watcher::Result<Event<Light>>) -> Vec<Sighting> {
        let (event, mut news) = match self.hear(item, |fleet| &mut fleet.deployments) {
            Ok(heard) => heard,
            Err(news) => return news,
        };
        let (listing, roll) = (&mut self.deployments, &mut self.roll);
        for change in listing.changes(event, Light::key, || roll.deployments()) {
            match change {
                Change::Is(key, light) => self.roll.see(key, light.seen),
                Change::Gone(key) => self.roll.lose(&key),
            }
        }
        news.extend(self.news());
        news
    }

    fn policy(&mut self, item: watcher::Result<Event<DynamicObject>>) -> Vec<Sighting> {
        let (event, mut news) = match self.hear(item, |fleet| &mut fleet.policies) {
            Ok(heard) => heard,
            Err(news) => return news,
        };
        self.doubted = false;
        let (listing, roll) = (&mut self.policies, &mut self.roll);
        for change in listing.changes(event, policy::key, || roll.policies()) {
            match change {
                Change::Is(_, object) => {
                    let rule = policy::rule(&object);
                    self.scribe.know(&rule, || policy::status(&object));
                    self.roll.rule(rule);
                }
                Change::Gone(key) => self.unrule(&key),
            }
        }
        news.extend(self.news());
        news
    }

    /// The API does not have the kind, or does not show it: then there are annotations alone. Answers with when to look again.
    fn no_policies(&mut self, code: u16) -> (Vec<Sighting>, Duration) {
        if code == 403 {
            tracing::warn!("RolloutPolicies may not be read: those that were read so far are in force, and annotations");
        } else if !self.doubted && !self.roll.policies().is_empty() {
            self.doubted = true;
            return (Vec::new(), CONFIRM);
        } else {
            if self.doubted || !self.policies.whole {
                tracing::info!("the API knows no RolloutPolicies: annotations alone ask for Deployments");
            }
            self.doubted = false;
            self.roll.policies().iter().for_each(|key| self.unrule(key));
        }
        let mut news = Vec::from_iter(self.restored(|fleet| &mut fleet.policies));
        self.policies.whole = true;
        news.extend(self.news());
        (news, LOOK_AGAIN)
    }

    fn unrule(&mut self, key: &Key) {
        self.scribe.forget(key);
        self.roll.unrule(key);
    }

    /// Takes an item of a watch apart; of one that is broken there is nothing but that to tell.
    fn hear<K>(
        &mut self,
        item: watcher::Result<Event<K>>,
        of: fn(&mut Self) -> &mut Listing,
    ) -> Result<(Event<K>, Vec<Sighting>), Vec<Sighting>> {
        match item {
            Ok(event) => Ok((event, Vec::from_iter(self.restored(of)))),
            Err(error) => {
                let before = self.is_broken();
                of(self).broken = true;
                Err(if before { Vec::new() } else { vec![Sighting::Lost(super::chain(&error))] })
            }
        }
    }

    fn restored(&mut self, of: fn(&mut Self) -> &mut Listing) -> Option<Sighting> {
        let before = self.is_broken();
        of(self).broken = false;
        (before && !self.is_broken()).then_some(Sighting::Restored)
    }

    const fn is_broken(&self) -> bool {
        self.deployments.broken || self.policies.broken
    }

    /// What is to be told now, and has what is to be written written.
    fn news(&mut self) -> Vec<Sighting> {
        let mut news = self.roll.news(self.policies.whole);
        if !(self.deployments.whole && self.policies.whole) {
            return news;
        }
        for (rule, claim) in self.roll.claims() {
            self.scribe.want(rule, &claim);
        }
        self.roll.counted();
        if !std::mem::replace(&mut self.listed, true) {
            news.push(Sighting::Listed);
        }
        news
    }
}

#[cfg(test)]
mod tests;
