import { CalendarClock, ChevronLeft, ChevronRight, Pencil, Plus, Trash2, TriangleAlert, X } from "lucide-react";
import { useState } from "react";
import { type Booking, type BookingState, type Occurrence, cancelBooking, deleteBooking, useBookings, useOccurrences } from "~/api/bookings";
import { useCameras } from "~/api/cameras";
import { useMay } from "~/api/session";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Badge, Card, Empty, PageHead, Spinner } from "~/components/misc";
import { Table } from "~/components/table";
import { Segmented } from "~/components/tabs";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { dateFormat } from "~/lib/format";
import { named } from "~/lib/named";
import { useCameraNames } from "../users/access";
import { BookingForm } from "./form";
import { type View, days, onDay, step } from "./month";

export const TONES: Record<BookingState, string> = { planned: "accent", recording: "error", processing: "accent", completed: "good", failed: "bad", cancelled: "none", expired: "warn" };
type Shape = "calendar" | "list";

/** So many are named on a day of the month. */
const MOST = 3;

const hour = (time: string) => dateFormat({ hour: "2-digit", minute: "2-digit" }).format(new Date(time));
const moment = (time: string) => dateFormat({ dateStyle: "medium", timeStyle: "short" }).format(new Date(time));

export default function BookingsPage() {
  const t = useT();
  const operator = useMay("operator");
  const [shape, setShape] = useState<Shape>("calendar");
  const [form, setForm] = useState<{ booking: Booking | null; day: Date } | null>(null);
  const [shown, setShown] = useState<{ id: number; occurrence: Occurrence | null } | null>(null);
  const bookings = useBookings();
  const booking = bookings.data?.bookings.find((b) => b.id === shown?.id) ?? null;
  const done = () => {
    setForm(null);
    setShown(null);
    void bookings.reload();
  };
  const book = (day: Date) => setForm({ booking: null, day });
  return (
    <>
      <PageHead title={t("common.nav_bookings")}>
        <Segmented<Shape> label={t("common.nav_bookings")} value={shape} onChange={setShape} options={[{ key: "calendar", label: t("bookings.calendar") }, { key: "list", label: t("bookings.list") }]} />
        {operator && <Button kind="primary" icon={<Plus size={16} />} onClick={() => book(new Date())}>{t("bookings.add")}</Button>}
      </PageHead>
      {bookings.error && !bookings.data ? (
        <Unavailable error={bookings.error} what={t("common.nav_bookings")} onRetry={() => void bookings.reload()} />
      ) : shape === "calendar" ? (
        <Calendar version={bookings.data} onDay={operator ? book : null} onShow={(o) => setShown({ id: o.booking, occurrence: o })} />
      ) : (
        <List bookings={bookings.data?.bookings} onShow={(b) => setShown({ id: b.id, occurrence: null })} />
      )}
      {shown && booking && !form && (
        <Details booking={booking} occurrence={shown.occurrence} operator={operator} onClose={() => setShown(null)} onDone={done} onEdit={() => setForm({ booking, day: new Date(booking.start) })} />
      )}
      {form && <BookingForm booking={form.booking} day={form.day} onClose={() => setForm(null)} onDone={done} />}
    </>
  );
}

/** What is booked on the days of a month or a week. */
function Calendar({ onDay: choose, onShow, version }: { onDay: ((day: Date) => void) | null; onShow(one: Occurrence): void; version: unknown }) {
  const t = useT();
  const names = useCameraNames();
  const [view, setView] = useState<View>("month");
  const [day, setDay] = useState(() => new Date());
  const all = days(view, day);
  const first = all[0] ?? day;
  const last = all[all.length - 1] ?? day;
  const end = new Date(last.getFullYear(), last.getMonth(), last.getDate() + 1);
  const { data, error, reload, loading } = useOccurrences(first.toISOString(), end.toISOString());
  const [seen, setSeen] = useState(version);
  if (seen !== version) {
    setSeen(version);
    void Promise.resolve().then(reload);
  }
  const head = view === "month" ? dateFormat({ month: "long", year: "numeric" }).format(day) : `${dateFormat({ dateStyle: "medium" }).format(first)} – ${dateFormat({ dateStyle: "medium" }).format(last)}`;
  const today = new Date().toDateString();
  return (
    <Card
      className="calendar-card"
      title={<span aria-live="polite">{head}</span>}
      tools={
        <div className="calendar-tools">
          {loading && !data && <Spinner />}
          <Button size="small" kind="ghost" icon={<ChevronLeft size={16} />} label={t("bookings.before")} onClick={() => setDay(step(view, day, -1))} />
          <Button size="small" onClick={() => setDay(new Date())}>{t("bookings.today")}</Button>
          <Button size="small" kind="ghost" icon={<ChevronRight size={16} />} label={t("bookings.after")} onClick={() => setDay(step(view, day, 1))} />
          <Segmented<View> label={t("bookings.calendar")} value={view} onChange={setView} options={[{ key: "month", label: t("bookings.month") }, { key: "week", label: t("bookings.week") }]} />
        </div>
      }
    >
      {error && !data && <Unavailable error={error} what={t("common.nav_bookings")} onRetry={() => void reload()} />}
      <div className="calendar-days" data-view={view}>
        {all.slice(0, 7).map((d) => <div key={d.getDay()} className="calendar-name" aria-hidden>{dateFormat({ weekday: "short" }).format(d)}</div>)}
        {all.map((d) => {
          const here = onDay(data?.occurrences ?? [], d);
          const most = view === "month" ? MOST : 50;
          const name = dateFormat({ dateStyle: "full" }).format(d);
          return (
            <section key={d.toISOString()} className="calendar-day" aria-label={t("bookings.on_day", { day: name })} data-other={(view === "month" && d.getMonth() !== day.getMonth()) || undefined} data-today={d.toDateString() === today || undefined} data-empty={!here.length || undefined}>
              <header className="calendar-number">
                <span className="calendar-weekday">{dateFormat({ weekday: "short" }).format(d)} </span>
                {choose ? <button type="button" title={t("bookings.add_on", { day: name })} aria-label={t("bookings.add_on", { day: name })} onClick={() => choose(d)}>{d.getDate()}</button> : <span>{d.getDate()}</span>}
              </header>
              <ul>
                {here.slice(0, most).map((one) => (
                  <li key={`${one.booking} ${one.start}`}>
                    <button type="button" className={`calendar-one tone-${TONES[one.state]}`} data-off={one.state === "cancelled" || undefined} title={`${one.title}, ${t(`bookings.state_${one.state}`)}, ${names(one.cameras)}`} onClick={() => onShow(one)}>
                      <i className="dot" aria-hidden />
                      <span className="calendar-hour">{hour(one.start)}</span> <span className="calendar-title">{one.title}</span>
                      {one.warnings.length > 0 && <TriangleAlert size={12} aria-label={t("bookings.warnings", { n: one.warnings.length })} />}
                    </button>
                  </li>
                ))}
                {here.length > most && <li><button type="button" className="calendar-more" onClick={() => { setDay(d); setView("week"); }}>{t("bookings.more", { n: here.length - most })}</button></li>}
              </ul>
            </section>
          );
        })}
      </div>
    </Card>
  );
}

function List({ bookings, onShow }: { bookings: Booking[] | undefined; onShow(one: Booking): void }) {
  const t = useT();
  const names = useCameraNames();
  if (!bookings) return <Spinner />;
  if (!bookings.length) return <Empty icon={<CalendarClock size={28} />} title={t("bookings.none")}>{t("bookings.none_text")}</Empty>;
  const time = (b: Booking) => b.next?.start ?? b.start;
  const rows = [...bookings].sort((a, b) => Number(!a.next) - Number(!b.next) || (a.next ? time(a).localeCompare(time(b)) : time(b).localeCompare(time(a))));
  return (
    <Card>
      <Table
        caption={t("common.nav_bookings")}
        rows={rows}
        rowKey={(b) => b.id}
        columns={[
          { key: "title", label: t("bookings.title"), sort: (b) => b.title, cell: (b) => <button type="button" className="booking-link" onClick={() => onShow(b)}>{b.title}</button> },
          { key: "next", label: t("bookings.next"), sort: time, cell: (b) => moment(time(b)) },
          { key: "cameras", label: t("bookings.cameras"), cell: (b) => names(b.cameras) },
          { key: "who", label: t("bookings.who"), wideOnly: true, cell: (b) => b.who ?? "" },
          { key: "state", label: t("bookings.state"), sort: (b) => b.state, cell: (b) => <State of={b} /> },
        ]}
      />
    </Card>
  );
}

function State({ of }: { of: { state: BookingState; warnings: unknown[] } }) {
  const t = useT();
  return (
    <>
      <Badge tone={TONES[of.state]} dot>{t(`bookings.state_${of.state}`)}</Badge>
      {of.warnings.length > 0 && <> <Badge tone="warn">{t("bookings.warnings", { n: of.warnings.length })}</Badge></>}
    </>
  );
}

function Details({ booking, occurrence, operator, onClose, onDone, onEdit }: { booking: Booking; occurrence: Occurrence | null; operator: boolean; onClose(): void; onDone(): void; onEdit(): void }) {
  const t = useT();
  const names = useCameraNames();
  const cameras = useCameras();
  const [deleting, setDeleting] = useState(false);
  const one = occurrence ?? { start: booking.next?.start ?? booking.start, end: booking.next?.end ?? booking.end, state: booking.state, warnings: booking.warnings };
  const run = async (what: Promise<unknown>, told: string) => {
    try {
      await what;
      toast(told);
      onDone();
    } catch (e) {
      toastError(e);
    }
  };
  const comes = booking.next !== null && !booking.cancelled;
  const oneComes = occurrence !== null && occurrence.repeats && comes && (occurrence.state === "planned" || occurrence.state === "recording");
  if (deleting) {
    return (
      <Dialog title={t("bookings.delete_title", { title: booking.title })} onClose={() => setDeleting(false)} actions={<><Button onClick={() => setDeleting(false)}>{t("common.cancel")}</Button><Button kind="danger" onClick={() => void run(deleteBooking(booking.id), t("bookings.deleted"))}>{t("bookings.delete")}</Button></>}>
        <p>{t("bookings.delete_text")}</p>
      </Dialog>
    );
  }
  return (
    <Dialog
      title={booking.title}
      onClose={onClose}
      actions={
        operator && (
          <>
            {(!comes || !booking.calendar) && <Button icon={<Trash2 size={15} />} onClick={() => setDeleting(true)}>{t("bookings.delete")}</Button>}
            {oneComes && occurrence && <Button icon={<X size={15} />} onClick={() => void run(cancelBooking(booking.id, occurrence.start), t("bookings.cancelled"))}>{t("bookings.cancel_one")}</Button>}
            {comes && <Button icon={<X size={15} />} onClick={() => void run(cancelBooking(booking.id), t("bookings.cancelled"))}>{t("bookings.cancel_all")}</Button>}
            {!booking.calendar && comes && <Button kind="primary" icon={<Pencil size={15} />} onClick={onEdit}>{t("bookings.edit")}</Button>}
          </>
        )
      }
    >
      <dl className="booking-facts">
        <dt>{t("bookings.state")}</dt>
        <dd><Badge tone={TONES[one.state]} dot>{t(`bookings.state_${one.state}`)}</Badge></dd>
        <dt>{t("bookings.from")}</dt>
        <dd>{moment(one.start)}</dd>
        <dt>{t("bookings.to")}</dt>
        <dd>{moment(one.end)}</dd>
        <dt>{t("bookings.cameras")}</dt>
        <dd>{names(booking.cameras)}</dd>
        {booking.who && <><dt>{t("bookings.who")}</dt><dd>{booking.who}</dd></>}
        {booking.repeat && <><dt>{t("bookings.repeat")}</dt><dd>{booking.repeat}, {booking.time_zone}</dd></>}
        {booking.then.length > 0 && <><dt>{t("bookings.then")}</dt><dd>{booking.then.map((s) => t(`bookings.step_${s}`)).join(", ")}</dd></>}
      </dl>
      {booking.calendar && <p className="muted">{t("bookings.from_calendar", { name: booking.calendar })}</p>}
      {one.warnings.length > 0 && (
        <ul className="note note-warn booking-warnings">
          {one.warnings.map((w, n) => <li key={n}>{w.camera && <b>{names([w.camera])}: </b>}{named(w.message, cameras.data)}</li>)}
        </ul>
      )}
    </Dialog>
  );
}
