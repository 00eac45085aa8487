// Watches a camera by one of the ways, reads the clock that is drawn into its pictures, and says how old they are.
// Evaluated in a page of the recorder: watch(way, camera, seconds, frames): for so many seconds and until there were so many
// different pictures.
async function watch(way, camera, seconds, frames) {
    const base = `/api/v1/cameras/${camera}`;
    const ages = [], numbers = [];
    let first = null, ended = null, lost = 0;
    const begun = performance.now();
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d', { willReadFrequently: true });
    // 64 blocks along the bottom edge: 16 bits of the frame number, 48 of Unix milliseconds.
    const look = (source, width, height, now = Date.now()) => {
        const side = Math.min(Math.floor(1280 / 64), 16) * width / 1280;
        canvas.width = Math.ceil(side * 64); canvas.height = 1;
        context.drawImage(source, 0, height - side / 2, side * 64, 1, 0, 0, canvas.width, 1);
        const dots = context.getImageData(0, 0, canvas.width, 1).data;
        let number = 0, time = 0;
        for (let bit = 0; bit < 64; bit++) {
            const on = dots[Math.floor((bit + 0.5) * side) * 4] > 128 ? 1 : 0;
            if (bit < 16) number = number * 2 + on; else time = time * 2 + on;
        }
        const age = now - time;
        if (age < -1000 || age > 60000) return;
        first ??= performance.now() - begun;
        if (numbers.at(-1) !== number) { numbers.push(number); ages.push(age); }
    };
    const video = document.createElement('video');
    video.muted = true; video.autoplay = true; video.playsInline = true; video.width = 640;
    const eachFrame = () => {
        look(video, video.videoWidth, video.videoHeight);
        video.requestVideoFrameCallback(eachFrame);
    };
    const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
    let stop = () => {};
    // Plays buffers in order and stays near their end.
    const player = async (mime, behind) => {
        const source = new MediaSource();
        video.src = URL.createObjectURL(source);
        await new Promise((done) => source.addEventListener('sourceopen', done, { once: true }));
        const buffer = source.addSourceBuffer(mime);
        const waiting = [];
        const feed = () => {
            if (!buffer.updating && waiting.length) buffer.appendBuffer(waiting.shift());
        };
        buffer.addEventListener('updateend', () => {
            const { buffered } = buffer;
            if (buffered.length) {
                const end = buffered.end(buffered.length - 1);
                if (end - video.currentTime > behind * 4 + 0.3) video.currentTime = Math.max(0, end - behind);
                video.playbackRate = end - video.currentTime > behind * 1.5 ? 1.1 : 1;
            }
            feed();
        });
        return (bytes) => { waiting.push(bytes); feed(); };
    };
    document.body.replaceChildren(video);
    video.requestVideoFrameCallback(eachFrame);

    if (way === 'whep' || way === 'whep-tcp') {
        const peer = new RTCPeerConnection();
        peer.addTransceiver('video', { direction: 'recvonly' });
        peer.addTransceiver('audio', { direction: 'recvonly' });
        peer.ontrack = ({ track, receiver }) => {
            if (track.kind === 'video') { receiver.jitterBufferTarget = 0; video.srcObject = new MediaStream([track]); }
        };
        await peer.setLocalDescription(await peer.createOffer());
        const reply = await fetch(`${base}/whep`, {
            method: 'POST', headers: { 'content-type': 'application/sdp' }, body: peer.localDescription.sdp,
        });
        if (reply.status !== 201) throw new Error(`${reply.status} ${await reply.text()}`);
        let sdp = await reply.text();
        if (way === 'whep-tcp') sdp = sdp.split('\r\n').filter((l) => !/^a=candidate:.* udp /i.test(l)).join('\r\n');
        await peer.setRemoteDescription({ type: 'answer', sdp });
        stop = async () => {
            const stats = [...(await peer.getStats()).values()];
            const video = stats.find((s) => s.type === 'inbound-rtp' && s.kind === 'video');
            const audio = stats.find((s) => s.type === 'inbound-rtp' && s.kind === 'audio');
            lost = video?.packetsLost ?? 0;
            const gone = await fetch(reply.headers.get('location'), { method: 'DELETE' });
            peer.close();
            return { deleted: gone.status, audio: audio?.packetsReceived ?? 0, keyframes: video?.keyFramesDecoded,
                plis: video?.pliCount, dropped: video?.framesDropped };
        };
    } else if (way === 'mse') {
        const socket = new WebSocket(`ws://${location.host}${base}/live.mp4`);
        socket.binaryType = 'arraybuffer';
        let push, queue = Promise.resolve();
        socket.onmessage = ({ data }) => {
            queue = queue.then(async () => {
                if (typeof data !== 'string') return push(data);
                const said = JSON.parse(data);
                if (said.type === 'init') push = await player(said.mime, 0.06);
                if (said.type === 'lost') lost += said.frames;
                if (said.type === 'end') ended = said.why;
            });
        };
        stop = () => socket.close();
    } else if (way === 'hls') {
        // A small player of LL-HLS: each part as it is hinted at.
        const get = async (path) => {
            const reply = await fetch(path);
            if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
            return reply;
        };
        const live = await (await fetch(`${base}/live`)).json();
        let text = await (await get(`${base}/live.m3u8`)).text();
        const push = await player(live.paths.mse.mime, 0.4);
        push(await (await get(`${base}/${text.match(/MAP:URI="([^"]+)"/)[1]}`)).arrayBuffer());
        const seen = new Set();
        let running = true;
        (async () => {
            let parts = [...text.matchAll(/EXT-X-PART:.*URI="([^"]+)"(,INDEPENDENT)?/g)];
            parts = parts.slice(parts.findLastIndex((p) => p[2]));
            while (running) {
                for (const [, uri] of parts) {
                    if (seen.has(uri)) continue;
                    seen.add(uri);
                    push(await (await get(`${base}/${uri}`)).arrayBuffer());
                }
                const [, number, part] = text.match(/PRELOAD-HINT:TYPE=PART,URI=".*-(\d+)\.(\d+)\.m4s"/);
                text = await (await get(`${base}/live.m3u8?_HLS_msn=${number}&_HLS_part=${part}`)).text();
                parts = [...text.matchAll(/EXT-X-PART:.*URI="([^"]+)"/g)];
            }
        })().catch((e) => { ended = String(e); });
        stop = () => { running = false; };
    } else if (way === 'preview') {
        const socket = new WebSocket(`ws://${location.host}${base}/preview?width=640&fps=25`);
        socket.binaryType = 'arraybuffer';
        socket.onmessage = async ({ data }) => {
            if (typeof data === 'string') { ended = data; return; }
            const number = new DataView(data).getBigUint64(0);
            const picture = await createImageBitmap(new Blob([new Uint8Array(data, 16)], { type: 'image/jpeg' }));
            look(picture, picture.width, picture.height);
            socket.send(JSON.stringify({ ack: Number(number) }));
        };
        stop = () => socket.close();
    } else if (way === 'mjpeg') {
        const img = document.createElement('img');
        img.src = `${base}/live.mjpeg?width=640&fps=25`;
        document.body.append(img);
        const timer = setInterval(() => { if (img.naturalWidth) look(img, img.naturalWidth, img.naturalHeight); }, 5);
        stop = () => { clearInterval(timer); img.src = ''; };
    }
    const enough = () => first !== null && performance.now() - begun >= first + seconds * 1000 && numbers.length >= frames;
    while (performance.now() - begun < 60000 && !enough()) {
        if (ended) break;
        await sleep(50);
    }
    const more = await stop();
    // The first second is that of catching up.
    const settled = ages.slice(Math.min(25, ages.length >> 1)).sort((a, b) => a - b);
    const at = (part) => settled[Math.min(settled.length - 1, Math.floor(settled.length * part))] ?? null;
    return { way, first_ms: first && Math.round(first), median_ms: at(0.5), p95_ms: at(0.95), frames: ages.length, lost, ended,
        size: [video.videoWidth, video.videoHeight], error: video.error?.message ?? null, ...more };
}
