//! The standard library's locks with a turn before each. Within a race the turn decides which
//! thread goes first, and another may come in before it is taken, while it is held, and after it
//! was given back. Outside of a race nobody takes turns.

use std::ops::{Deref, DerefMut};
use std::sync::{self, LockResult, PoisonError};
use std::thread::panicking;

use shuttle::current::try_get_current_task;
use shuttle::sync as turns;
use shuttle::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Default)]
pub struct Mutex<T> {
    turn: turns::Mutex<()>,
    inner: sync::Mutex<T>,
}

/// Fields go in this order: the lock is given back, then the turn, then others may come in.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    inner: sync::MutexGuard<'a, T>,
    _turn: Option<turns::MutexGuard<'a, ()>>,
    _then: Moment,
}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self { turn: turns::Mutex::new(()), inner: sync::Mutex::new(value) }
    }

    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let turn = in_race().then(|| taken(self.turn.lock()));
        wrap(self.inner.lock(), |inner| MutexGuard { inner, _turn: turn, _then: Moment })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[derive(Debug, Default)]
pub struct RwLock<T> {
    turn: turns::RwLock<()>,
    inner: sync::RwLock<T>,
}

/// As [`MutexGuard`].
#[derive(Debug)]
pub struct RwLockReadGuard<'a, T> {
    inner: sync::RwLockReadGuard<'a, T>,
    _turn: Option<turns::RwLockReadGuard<'a, ()>>,
    _then: Moment,
}

/// As [`MutexGuard`].
#[derive(Debug)]
pub struct RwLockWriteGuard<'a, T> {
    inner: sync::RwLockWriteGuard<'a, T>,
    _turn: Option<turns::RwLockWriteGuard<'a, ()>>,
    _then: Moment,
}

impl<T> RwLock<T> {
    pub fn new(value: T) -> Self {
        Self { turn: turns::RwLock::new(()), inner: sync::RwLock::new(value) }
    }

    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let turn = in_race().then(|| taken(self.turn.read()));
        wrap(self.inner.read(), |inner| RwLockReadGuard { inner, _turn: turn, _then: Moment })
    }

    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let turn = in_race().then(|| taken(self.turn.write()));
        wrap(self.inner.write(), |inner| RwLockWriteGuard { inner, _turn: turn, _then: Moment })
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// Dropping it is a moment at which another thread may come in: every use of an atomic number is.
#[derive(Debug)]
struct Moment;

impl Drop for Moment {
    fn drop(&mut self) {
        if in_race() && !panicking() {
            AtomicBool::new(false).load(Ordering::SeqCst);
        }
    }
}

fn in_race() -> bool {
    try_get_current_task().is_some()
}

fn taken<T>(turn: LockResult<T>) -> T {
    turn.unwrap_or_else(PoisonError::into_inner)
}

/// A poisoned lock stays one.
fn wrap<A, B>(lock: LockResult<A>, guard: impl FnOnce(A) -> B) -> LockResult<B> {
    match lock {
        Ok(inner) => Ok(guard(inner)),
        Err(poisoned) => Err(PoisonError::new(guard(poisoned.into_inner()))),
    }
}
