import type { Layout } from "./merge";
import { ask, patch, post, remove } from "./client";
import { type Query, useQuery } from "./query";

export type BookingState = "planned" | "recording" | "processing" | "completed" | "failed" | "cancelled" | "expired";
export type Step = "validate" | "merge" | "compress" | "export" | "upload";

export interface BookingWarning {
  camera: string | null;
  message: string;
}

export interface Booking {
  id: number;
  title: string;
  who: string | null;
  cameras: string[];
  start: string;
  end: string;
  time_zone: string;
  repeat: string | null;
  except: string[];
  then: Step[];
  layout: Layout;
  sound: string | null;
  /** Seconds. */
  keep_footage: number;
  calendar: string | null;
  created: string;
  created_by: string | null;
  cancelled: string | null;
  state: BookingState;
  next: { start: string; end: string } | null;
  warnings: BookingWarning[];
}

/** One time that a booking takes place. */
export interface Occurrence {
  booking: number;
  title: string;
  who: string | null;
  cameras: string[];
  start: string;
  end: string;
  state: BookingState;
  repeats: boolean;
  calendar: string | null;
  warnings: BookingWarning[];
  jobs: number[];
}

export interface BookingWish {
  title: string;
  who: string;
  cameras: string[];
  start: string;
  end: string;
  time_zone: string;
  repeat: string;
  then: Step[];
  layout: Layout;
  sound: string;
  keep_footage: number;
  allow_conflicts: boolean;
}

const ON = ["booking_changed"];

export const useBookings = (): Query<{ bookings: Booking[] }> => useQuery("bookings", (signal) => ask<{ bookings: Booking[] }>("/bookings", { signal }), { every: 20_000, on: ON });

export const useOccurrences = (from: string, to: string): Query<{ occurrences: Occurrence[] }> =>
  useQuery(`occurrences ${from} ${to}`, (signal) => ask<{ occurrences: Occurrence[] }>("/bookings/occurrences", { signal, query: { from, to } }), { every: 20_000, on: ON });

export const addBooking = (wish: BookingWish): Promise<unknown> => post("/bookings", wish);
export const changeBooking = (id: number, wish: BookingWish): Promise<unknown> => patch(`/bookings/${id}`, wish);
export const cancelBooking = (id: number, start?: string): Promise<unknown> => post(`/bookings/${id}/cancel`, start ? { start } : {});
export const deleteBooking = (id: number): Promise<void> => remove(`/bookings/${id}`);
