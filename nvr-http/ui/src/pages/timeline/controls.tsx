import { ChevronFirst, ChevronLast, Pause, Play, Radio, RotateCcw, RotateCw, Volume2, VolumeX } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "~/components/button";
import { Select } from "~/components/field";
import { useT } from "~/i18n";
import { clock, day, number } from "~/lib/format";
import { useStore } from "~/lib/store";
import { type Player, RATES } from "~/playback/player";

export function Controls({ player, scrub, sound, onSound, canSound, onNow }: { player: Player; scrub: number | null; sound: boolean; onSound(): void; canSound: boolean; onNow(): void }) {
  const t = useT();
  const { playing, rate } = useStore(player.state);
  return (
    <div className="controls">
      <div className="controls-set">
        <Button kind="ghost" icon={<RotateCcw size={16} />} label={t("timeline.back")} onClick={() => player.seek(player.time - 10_000)} />
        <Button kind="ghost" icon={<ChevronFirst size={18} />} label={t("timeline.frame_back")} onClick={() => player.step(-1)} />
        <Button kind="primary" className="controls-play" icon={playing ? <Pause size={17} fill="currentColor" /> : <Play size={17} fill="currentColor" />} label={t(playing ? "timeline.pause" : "timeline.play")} onClick={() => (playing ? player.pause() : player.play())} />
        <Button kind="ghost" icon={<ChevronLast size={18} />} label={t("timeline.frame_on")} onClick={() => player.step(1)} />
        <Button kind="ghost" icon={<RotateCw size={16} />} label={t("timeline.on")} onClick={() => player.seek(player.time + 10_000)} />
      </div>
      <Now player={player} scrub={scrub} />
      <div className="controls-set controls-end">
        <Select label={t("timeline.rate")} hideLabel title={t("timeline.rate")} value={rate} onChange={(e) => player.setRate(Number(e.target.value))}>
          {RATES.map((r) => <option key={r} value={r}>{number(r, 2)}×</option>)}
        </Select>
        {canSound && <Button kind="ghost" icon={sound ? <Volume2 size={17} /> : <VolumeX size={17} />} label={t(sound ? "timeline.sound_off" : "timeline.sound_on")} pressed={sound} onClick={onSound} />}
        <Button kind="ghost" icon={<Radio size={16} />} label={t("timeline.live")} onClick={onNow} />
      </div>
    </div>
  );
}

/** The moment that is shown, in words. */
function Now({ player, scrub }: { player: Player; scrub: number | null }) {
  const [time, setTime] = useState(() => player.time);
  useEffect(() => player.onTime((now) => setTime((old) => (Math.floor(old / 100) === Math.floor(now / 100) ? old : now))), [player]);
  const shown = scrub ?? time;
  return (
    <div className="controls-now">
      <time dateTime={new Date(shown).toISOString()}>{clock(shown)}<small>.{String(Math.floor((shown % 1000) / 100))}</small></time>
      <span className="muted">{day(shown)}</span>
    </div>
  );
}
