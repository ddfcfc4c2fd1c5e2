//! The long optional tables of an H.265 sequence parameter set. They hold nothing for us, but
//! the frame rate lies behind them.

use super::bits::Bits;

/// Most sets a stream may list (H.265 7.4.3.2.1), and most pictures in one (7.4.8).
const SETS_MAX: u32 = 64;
const PICTURES_MAX: u32 = 16;

/// `profile_tier_level( 1, sub_layers )` (7.3.3).
pub(super) fn skip_profile_tier_level(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    const PROFILE: usize = 88;
    const LEVEL: usize = 8;
    bits.skip(PROFILE + LEVEL)?;
    if sub_layers == 0 {
        return Some(());
    }
    let mut lengths = 0;
    for layer in 0..8 {
        let (profile, level) = (bits.bit()?, bits.bit()?);
        if layer < sub_layers {
            lengths += if profile { PROFILE } else { 0 } + if level { LEVEL } else { 0 };
        }
    }
    bits.skip(lengths)
}

/// `scaling_list_data( )` (7.3.4).
pub(super) fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4 {
        let matrices = if size == 3 { 2 } else { 6 };
        for _ in 0..matrices {
            if !bits.bit()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            let coefficients = 64.min(1 << (4 + (size << 1)));
            for _ in 0..coefficients {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// All `st_ref_pic_set( )` of the parameter set (7.3.7).
pub(super) fn skip_reference_sets(bits: &mut Bits<'_>) -> Option<()> {
    let sets = bits.ue().filter(|&count| count <= SETS_MAX)?;
    let mut previous = Vec::new();
    for index in 0..sets {
        previous = if index > 0 && bits.bit()? {
            predicted_set(bits, &previous)?
        } else {
            explicit_set(bits)?
        };
    }
    Some(())
}

/// A set written out: distances to earlier pictures, nearest first, then to later ones.
fn explicit_set(bits: &mut Bits<'_>) -> Option<Vec<i32>> {
    let counts = [bits.ue()?, bits.ue()?];
    if counts.iter().any(|&count| count > PICTURES_MAX) {
        return None;
    }
    let mut set = Vec::new();
    for (count, sign) in counts.into_iter().zip([-1, 1]) {
        let mut distance = 0_i32;
        for _ in 0..count {
            let step = i32::try_from(bits.ue()?).ok()?.checked_add(1)?;
            distance = distance.checked_add(step.checked_mul(sign)?)?;
            bits.skip(1)?;
            set.push(distance);
        }
    }
    Some(set)
}

/// A set told by what changed from the one before (equations 7-61 and 7-62). Only its length
/// and order matter: they say how many bits the next one has.
fn predicted_set(bits: &mut Bits<'_>, previous: &[i32]) -> Option<Vec<i32>> {
    let negative = bits.bit()?;
    let shift = i32::try_from(bits.ue()?).ok()?.checked_add(1)?;
    let shift = if negative { -shift } else { shift };
    let mut set = Vec::new();
    for &base in previous.iter().chain(&[0]) {
        let kept = bits.bit()? || bits.bit()?;
        let distance = base.checked_add(shift)?;
        if kept && distance != 0 {
            set.push(distance);
        }
    }
    // Earlier pictures nearest first, then later ones nearest first.
    set.sort_unstable_by_key(|&distance| (distance > 0, distance.unsigned_abs()));
    (set.len() <= 2 * usize::try_from(PICTURES_MAX).ok()?).then_some(set)
}
