//! Races: a scene of some threads, played in many orders of them. Another thread may come in
//! wherever one takes or gives back a lock of `base`, or waits; all else is one step. The orders
//! come from fixed seeds; a failing one is printed, and `shuttle::replay` plays it again.

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

const SEED: u64 = 20_261_121;
/// How often a thread is held up at the worst moments, in orders of the second kind.
const HOLD_UPS: usize = 3;
/// A wait in which nobody can go on is found at once; a scene that never ends, after these.
const STEPS_MAX: usize = 20_000;
/// The stack of each thread: what formats and compresses texts needs more than the usual.
const STACK_BYTES: usize = 512 * 1_024;

/// Plays a scene in `orders` orders: half of them by chance, half with threads that go on for long
/// and are held up now and then.
pub fn race(orders: usize, scene: impl Fn() + Copy + Send + Sync + 'static) {
    let half = orders.div_ceil(2);
    run(RandomScheduler::new_from_seed(SEED, half), scene);
    run(PctScheduler::new_from_seed(SEED, HOLD_UPS, half), scene);
}

fn run(orders: impl Scheduler + 'static, scene: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.stack_size = STACK_BYTES;
    Runner::new(orders, config).run(scene);
}
