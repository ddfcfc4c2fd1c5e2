use super::bits::Bits;

/// Walks the NAL units of a frame, each behind its length in `length_size` bytes.
/// `None` when a length points past the end: then the frame is broken.
pub(super) fn for_each_nal<'a>(
    frame: &'a [u8],
    length_size: usize,
    mut each: impl FnMut(&'a [u8]),
) -> Option<()> {
    let mut rest = frame;
    while !rest.is_empty() {
        let (length, behind) = rest.split_at_checked(length_size)?;
        let length = length.iter().fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
        let (nal, behind) = behind.split_at_checked(length)?;
        each(nal);
        rest = behind;
    }
    Some(())
}

/// Reads over what says how the picture looks, with which the VUI of both H.264 (E.1.1) and
/// H.265 (E.2.1) begins: from `aspect_ratio_info_present_flag` to the place of the chroma samples.
pub(super) fn skip_vui_picture(bits: &mut Bits<'_>) -> Option<()> {
    const EXTENDED_ASPECT: u32 = 255;
    if bits.bit()? && bits.u(8)? == EXTENDED_ASPECT {
        bits.skip(32)?;
    }
    if bits.bit()? {
        bits.skip(1)?;
    }
    if bits.bit()? {
        bits.skip(4)?;
        if bits.bit()? {
            bits.skip(24)?;
        }
    }
    if bits.bit()? {
        bits.ue()?;
        bits.ue()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(frame: &[u8], length_size: usize) -> Option<Vec<&[u8]>> {
        let mut nals = Vec::new();
        for_each_nal(frame, length_size, |nal| nals.push(nal))?;
        Some(nals)
    }

    #[test]
    fn lengths_are_checked() {
        assert_eq!(walk(&[0, 0, 0, 1, 9, 0, 0, 0, 0], 4), Some(vec![&[9_u8][..], &[]]));
        assert_eq!(walk(&[1, 9, 2, 8, 7], 1), Some(vec![&[9_u8][..], &[8, 7]]));
        assert_eq!(walk(&[0, 0, 0, 2, 9], 4), None);
        assert_eq!(walk(&[0, 0, 0], 4), None);
        assert_eq!(walk(&[0xff, 0xff, 0xff, 0xff, 1], 4), None);
    }
}
