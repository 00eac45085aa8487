#!/usr/bin/env bash
# The rooms of nvr-core: GStreamer only in gst/, SQLite only in store/, and neither of the two uses the other.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0

# rule REASON PATTERN FOLDER [grep options]
rule() {
    local reason=$1 pattern=$2 folder=$3 found
    shift 3
    # Comments may speak of anything.
    found=$(grep -rnE --include='*.rs' "$@" -- "$pattern" "$folder" | grep -vE '^[^:]+:[0-9]+:\s*//' || true)
    if [[ -n $found ]]; then
        printf '%s:\n%s\n\n' "$reason" "$found" >&2
        failed=1
    fi
}

core=nvr-core/src
gstreamer='(^|[^:[:alnum:]_])(::)?(gstreamer(_[a-z]+)?|gst_[a-z]+|gstfmp4|glib)::|use (::)?(gst|gst_[a-z]+|gstreamer[a-z_]*|glib)(::|;| as)|::gst::(prelude|Element|Pipeline|Bin|Pad|Buffer|Caps|Bus|ClockTime)|(^|[^:[:alnum:]_])gst::(prelude|Element|Pipeline|Bin|Pad|Buffer|Caps|Bus|ClockTime|State|Message)'
rule "GStreamer outside of $core/gst" "$gstreamer" "$core" --exclude-dir=gst
rule "SQLite outside of $core/store" '\brusqlite::' "$core" --exclude-dir=store
rule "gst/ uses store/" 'crate::(store|files)::' "$core/gst"
rule "store/ uses gst/ or files/" 'crate::(gst|files)::' "$core/store"
rule "config/ uses more than leaves" 'crate::(accounts|archive|bench|camera|check|convert|detect|files|gst|health|jobs|live|media|moving|nvr|onvif|retention|rtsp|store|timeline|transcode)\b' "$core/config"
rule "rtsp/ uses more than leaves" 'crate::(archive|camera|check|config|detect|files|gst|health|media|nvr|onvif|store|timeline)\b|std::(net|thread|fs)\b' "$core/rtsp"
for front in nvr-http/src nvr-cli/src; do
    rule "GStreamer in $front" "$gstreamer" "$front"
    rule "SQLite in $front" '\brusqlite::' "$front"
done
rule "core uses a front end" '\bnvr_(http|cli)::' "$core"
# The bindings have taken the data by then: GStreamer lets go of nothing, and complains about each.
rule "a probe returns Drop, which is to be Handled" 'PadProbeReturn::Drop' "$core"
rule "an ignored test" '#\[ignore' .  --exclude-dir=target

exit "$failed"
