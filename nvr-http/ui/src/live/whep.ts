import { request } from "~/api/client";
import { at } from "~/lib/base";
import { type Driver, frames, release, until, watchFrames } from "./driver";

/** WebRTC by WHEP: one offer, one answer, and the lowest delay. */
export const whep: Driver = async ({ camera, stream: kind, video, signal, alive, show, sampler, info }) => {
  const peer = new RTCPeerConnection();
  peer.addTransceiver("video", { direction: "recvonly" });
  if (info?.audio !== null) peer.addTransceiver("audio", { direction: "recvonly" });
  let resource: string | null = null;
  try {
    const stream = new MediaStream();
    peer.ontrack = (e) => {
      stream.addTrack(e.track);
      // Frames are shown as they come; smoothness is the camera's.
      try {
        (e.receiver as RTCRtpReceiver & { jitterBufferTarget?: number | null }).jitterBufferTarget = 0;
      } catch {
        // Not every browser lets us.
      }
    };
    await peer.setLocalDescription(await peer.createOffer());
    // The recorder is ICE-lite: it answers whatever address asks it, so that none has to be gathered first.
    const answer = await request(`/cameras/${camera}/whep`, {
      method: "POST",
      query: { stream: kind === "sub" ? "sub" : null },
      body: peer.localDescription?.sdp ?? "",
      headers: { "content-type": "application/sdp", accept: "application/sdp" },
      signal,
    });
    resource = answer.headers.get("location");
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    show("video");
    video.srcObject = stream;
    void video.play().catch(() => {});
    sampler(async () => {
      const all = [...(await peer.getStats()).values()] as Record<string, number | string | undefined>[];
      const of = (type: string) => all.filter((s) => s["type"] === type);
      const inbound = of("inbound-rtp").find((s) => s["kind"] === "video");
      const pair = of("candidate-pair").find((s) => s["state"] === "succeeded" && s["nominated"] !== (false as unknown));
      const n = (value: number | string | undefined) => (typeof value === "number" ? value : null);
      const delay = n(inbound?.["jitterBufferDelay"]);
      const emitted = n(inbound?.["jitterBufferEmittedCount"]);
      return {
        bytes: of("inbound-rtp").reduce((sum, s) => sum + (n(s["bytesReceived"]) ?? 0), 0),
        frames: n(inbound?.["framesDecoded"]),
        lost: n(inbound?.["packetsLost"]),
        roundTrip: n(pair?.["currentRoundTripTime"]),
        latency: delay !== null && emitted ? delay / emitted : null,
        width: video.videoWidth,
        height: video.videoHeight,
      };
    });
    return await until<string>(signal, (resolve, reject) => {
      let last = 0;
      const moved = () => {
        const before = last;
        last = frames(video) ?? video.currentTime;
        return last !== before;
      };
      const unwatch = watchFrames(video, moved, alive);
      let grace: ReturnType<typeof setTimeout> | undefined;
      const onState = () => {
        clearTimeout(grace);
        if (peer.connectionState === "failed") reject(new Error("the connection failed"));
        else if (peer.connectionState === "closed") resolve("closed");
        else if (peer.connectionState === "disconnected") grace = setTimeout(() => resolve("the connection was lost"), 3000);
      };
      peer.addEventListener("connectionstatechange", onState);
      return () => {
        unwatch();
        clearTimeout(grace);
        peer.removeEventListener("connectionstatechange", onState);
      };
    });
  } finally {
    release(video);
    if (!resource) peer.close();
    else {
      const path = new URL(resource, new URL(at("/"), document.baseURI)).pathname.replace(at("/api/v1"), "");
      // First this: a peer that closes ends its session, and there would be none to be deleted (404).
      void request(path, { method: "DELETE" }).catch(() => {}).finally(() => peer.close());
    }
  }
};
