#!/bin/sh
# Makes demo.flv beside this script: see README.md for why each setting is what it is.
set -eu
cd "$(dirname "$0")"
font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf
ffmpeg -hide_banner -loglevel warning -y \
  -f lavfi -i "color=c=0x10141f:s=640x360:r=30:d=16,format=yuv420p" \
  -f lavfi -i "smptehdbars=s=640x72:r=30:d=16,format=yuv420p" \
  -f lavfi -i "color=c=0xe8ecff:s=56x56:r=30:d=16,format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='255*lt(hypot(X-27.5,Y-27.5),27)'" \
  -f lavfi -i "aevalsrc='0.25*sin(2*PI*if(lt(mod(t,4),1),1320,880)*t)*lt(mod(t,1),0.1)*min(1,200*mod(t,1))*min(1,200*(0.1-mod(t,1)))':s=48000:d=16.1" \
  -filter_complex "
    [0][1]overlay=x=0:y=288[bars];
    [bars]drawgrid=w=80:h=72:t=1:c=0x2a3350[grid];
    [grid][2]overlay=x='292+264*sin(2*PI*t/4)':y='24+40*(1-abs(sin(2*PI*t/2)))'[ball];
    [ball]drawbox=x=0:y=276:w=iw:h=12:c=0x2a3350:t=fill[rail];
    [rail]drawtext=fontfile=$font:fontsize=13:fontcolor=0x8fd3ff:x='-tw+mod(n,480)*640/480':y=276:text='████████████████████████████████████████████████████████████████████████████████'[sweep];
    [sweep]drawtext=fontfile=$font:fontsize=64:fontcolor=white:x=(w-tw)/2:y=150:text='%{eif\:t\:d\:2}.%{eif\:mod(n\,30)*100/30\:d\:2}'[clock];
    [clock]drawtext=fontfile=$font:fontsize=20:fontcolor=0x8fd3ff:x=(w-tw)/2:y=226:text='Ghostlight demo · frame %{eif\:n\:d\:3} of 480'[label];
    [label]drawbox=x=24:y=24:w=40:h=40:c=white:t=fill:enable='lt(mod(t,1),0.1)'[v]" \
  -map "[v]" -map 3:a \
  -c:v libx264 -profile:v high -preset veryslow -tune animation -b:v 170k -maxrate 260k -bufsize 260k \
  -g 60 -keyint_min 60 -sc_threshold 0 -bf 2 -flags +cgop -pix_fmt yuv420p \
  -c:a aac -b:a 40k -ac 1 -bsf:a "noise=amount=0:drop=eq(n\\,0)" \
  -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact \
  -flvflags no_duration_filesize -t 16 demo.flv
