#!/bin/sh
# Makes the files in encoders/: see README.md.
set -eu
ffmpeg=${FFMPEG:-ffmpeg}
cd "$(dirname "$0")/encoders"

# make NAME CODEC-ARGUMENTS...
make() {
    name=$1
    shift
    "$ffmpeg" -v error -y \
        -f lavfi -i testsrc=s=66x38:r=30 -f lavfi -i sine=r=48000 -f lavfi -i sine=r=44100 \
        -t 0.2 -map 0 -map 1 "$@" -pix_fmt yuv420p -flvflags no_duration_filesize \
        -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact "$name.flv"
}

avc='-c:v libx264 -crf 45 -g 4 -bsf:v filter_units=remove_types=6'
make avc_aac $avc -c:a aac -b:a 24k
make avc_aac_two_tracks $avc -map 2 -c:a aac -b:a 24k
make avc_mp3 $avc -c:a libmp3lame -b:a 32k
make avc_eac3 $avc -c:a eac3 -b:a 32k
make hevc_opus -c:v libx265 -crf 45 -x265-params log-level=none:info=0:keyint=3 -c:a libopus -b:a 16k
make av1_flac -c:v libsvtav1 -crf 60 -svtav1-params lp=1 -g 4 -c:a flac
make vp9_ac3 -c:v libvpx-vp9 -crf 60 -b:v 0 -g 4 -deadline realtime -c:a ac3 -b:a 32k
