import { useEffect, useRef, useState } from "react";
import { type Booking, type Step, addBooking, changeBooking } from "~/api/bookings";
import { useCameras } from "~/api/cameras";
import { ApiError, wordsOf } from "~/api/client";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Checkbox, Select, TextField } from "~/components/field";
import { MergeFields, type Merging } from "~/components/merge-fields";
import { toast } from "~/components/toast";
import { useT } from "~/i18n";
import { fieldText, fieldTime } from "~/lib/days";
import { named } from "~/lib/named";
import { type Repeat, repeatOf, ruleOf } from "./month";

const REPEATS: Repeat[] = ["once", "daily", "workdays", "weekly", "other"];
const STEPS: Step[] = ["validate", "merge", "compress", "export", "upload"];
const DAY_S = 86_400;
/** The form is of the clock here, so the booking repeats by it as well. */
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

const minutes = (text: string) => text.slice(0, 16);

/** Books, or changes a booking. */
export function BookingForm({ booking, day, onClose, onDone }: { booking: Booking | null; day: Date; onClose(): void; onDone(): void }) {
  const t = useT();
  const cameras = useCameras();
  const [title, setTitle] = useState(booking?.title ?? "");
  const [who, setWho] = useState(booking?.who ?? "");
  const [chosen, setChosen] = useState<string[]>(booking?.cameras ?? []);
  const [from, setFrom] = useState(() => minutes(fieldText(booking ? new Date(booking.start) : firstHour(day))));
  const [to, setTo] = useState(() => minutes(fieldText(booking ? new Date(booking.end) : new Date(firstHour(day).getTime() + 3_600_000))));
  const [repeat, setRepeat] = useState<Repeat>(repeatOf(booking?.repeat ?? null));
  const [rule, setRule] = useState(booking?.repeat ?? "");
  const [then, setThen] = useState<Step[]>(booking?.then ?? []);
  const [merging, setMerging] = useState<Merging>({ layout: booking?.layout ?? "side_by_side", sound: booking?.sound ?? "" });
  const [keep, setKeep] = useState(String(Math.round((booking?.keep_footage ?? 0) / DAY_S)));
  const [error, setError] = useState<string | null>(null);
  const [clash, setClash] = useState(false);
  const [tries, setTries] = useState(0);
  const told = useRef<HTMLParagraphElement>(null);
  // It stands below a form that may be longer than its dialog.
  useEffect(() => {
    told.current?.scrollIntoView({ block: "nearest" });
  }, [error, tries]);
  const [busy, setBusy] = useState(false);

  const toggle = <T,>(list: T[], one: T, on: boolean) => (on ? [...list, one] : list.filter((other) => other !== one));
  const send = async (allow: boolean) => {
    const [start, end] = [fieldTime(from), fieldTime(to)];
    setTries((n) => n + 1);
    if (!chosen.length) return setError(t("bookings.choose_camera"));
    if (!start || !end) return setError(t("bookings.choose_time"));
    if (end <= start) return setError(t("bookings.order"));
    setBusy(true);
    setError(null);
    const zone = booking && booking.repeat ? booking.time_zone : ZONE;
    const wish = {
      title, who, cameras: chosen, start: start.toISOString(), end: end.toISOString(), time_zone: zone, repeat: ruleOf(repeat, rule),
      then: STEPS.filter((step) => then.includes(step)), layout: merging.layout, sound: then.includes("merge") && chosen.includes(merging.sound) ? merging.sound : "",
      keep_footage: Math.max(0, Math.round(Number(keep) || 0)) * DAY_S, allow_conflicts: allow,
    };
    try {
      if (booking) await changeBooking(booking.id, wish);
      else await addBooking(wish);
      toast(t(booking ? "bookings.changed" : "bookings.booked"));
      onDone();
    } catch (e) {
      setBusy(false);
      setClash(e instanceof ApiError && e.status === 409);
      setError(e instanceof ApiError ? named(wordsOf(e), cameras.data) || t("common.offline_title") : String(e));
    }
  };

  return (
    <Dialog
      title={t(booking ? "bookings.edit" : "bookings.add")}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          {clash && <Button busy={busy} onClick={() => void send(true)}>{t("bookings.anyway")}</Button>}
          <Button kind="primary" busy={busy} onClick={() => void send(false)}>{t(booking ? "bookings.save" : "bookings.add")}</Button>
        </>
      }
    >
      <form className="booking-form" onSubmit={(e) => { e.preventDefault(); void send(false); }}>
        <TextField label={t("bookings.title")} value={title} maxLength={200} required autoFocus onChange={(e) => setTitle(e.target.value)} />
        <TextField label={t("bookings.who")} value={who} maxLength={200} onChange={(e) => setWho(e.target.value)} />
        <fieldset className="booking-set">
          <legend className="field-label">{t("bookings.cameras")}</legend>
          <div className="booking-checks">
            {cameras.data?.map((c) => <Checkbox key={c.id} label={c.name} checked={chosen.includes(c.id)} onChange={(e) => setChosen(toggle(chosen, c.id, e.target.checked))} />)}
          </div>
        </fieldset>
        <div className="two">
          <TextField label={t("bookings.from")} type="datetime-local" value={from} onChange={(e) => setFrom(e.target.value)} />
          <TextField label={t("bookings.to")} type="datetime-local" value={to} onChange={(e) => setTo(e.target.value)} />
        </div>
        <p className="field-hint">{t("bookings.zone", { zone: ZONE })}</p>
        <div className="two">
          <Select label={t("bookings.repeat")} value={repeat} onChange={(e) => setRepeat(e.target.value as Repeat)}>
            {REPEATS.map((one) => <option key={one} value={one}>{t(`bookings.repeat_${one}`)}</option>)}
          </Select>
          {repeat === "other" && <TextField label={t("bookings.rule")} hint={t("bookings.rule_hint")} value={rule} onChange={(e) => setRule(e.target.value)} />}
        </div>
        <fieldset className="booking-set">
          <legend className="field-label">{t("bookings.then")}</legend>
          <div className="booking-checks">
            {STEPS.map((step) => <Checkbox key={step} label={t(`bookings.step_${step}`)} checked={then.includes(step)} onChange={(e) => setThen(toggle(then, step, e.target.checked))} />)}
          </div>
        </fieldset>
        {then.includes("merge") && <MergeFields value={merging} onChange={setMerging} cameras={cameras.data?.filter((c) => chosen.includes(c.id)) ?? []} />}
        <TextField label={t("bookings.keep")} hint={t("bookings.keep_hint")} type="number" min={0} max={3640} value={keep} onChange={(e) => setKeep(e.target.value)} />
        <button type="submit" className="hidden" tabIndex={-1} aria-hidden>{t("bookings.save")}</button>
      </form>
      {error && <p ref={told} className="field-error" role="alert">{error}</p>}
    </Dialog>
  );
}

/** The next full hour of today, else eight in the morning. */
function firstHour(day: Date): Date {
  const now = new Date();
  if (day.toDateString() !== now.toDateString()) return new Date(day.getFullYear(), day.getMonth(), day.getDate(), 8);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate(), now.getHours() + 1);
}
