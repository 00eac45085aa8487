import { Bell, BellRing, CalendarClock, Cctv, ChartGantt, Cog, Film, HardDrive, Images, ListTodo, type LucideIcon, MonitorCog, ShieldCheck, Users } from "lucide-react";
import { type ComponentType, lazy } from "react";
import type { Role } from "~/api/types";
import type { PlainKey } from "~/i18n";

export interface Route {
  path: string;
  title: PlainKey;
  icon: LucideIcon;
  /** Who may see it. */
  role: Role;
  page: ComponentType;
}

/** The pages, in the order of the navigation. Each is fetched when it is first shown. */
export const ROUTES: Route[] = [
  { path: "/", title: "common.nav_live", icon: Cctv, role: "viewer", page: lazy(() => import("./live/page")) },
  { path: "/timeline", title: "common.nav_timeline", icon: ChartGantt, role: "viewer", page: lazy(() => import("./timeline/page")) },
  { path: "/recordings", title: "common.nav_recordings", icon: Film, role: "viewer", page: lazy(() => import("./recordings/page")) },
  { path: "/events", title: "common.nav_events", icon: BellRing, role: "viewer", page: lazy(() => import("./events/page")) },
  { path: "/stills", title: "stills.title", icon: Images, role: "viewer", page: lazy(() => import("./stills/page")) },
  { path: "/bookings", title: "common.nav_bookings", icon: CalendarClock, role: "viewer", page: lazy(() => import("./bookings/page")) },
  { path: "/alerts", title: "alerts.nav", icon: Bell, role: "viewer", page: lazy(() => import("./alerts/page")) },
  { path: "/jobs", title: "common.nav_jobs", icon: ListTodo, role: "viewer", page: lazy(() => import("./jobs/page")) },
  { path: "/storage", title: "common.nav_storage", icon: HardDrive, role: "viewer", page: lazy(() => import("./storage/page")) },
  { path: "/system", title: "common.nav_system", icon: MonitorCog, role: "viewer", page: lazy(() => import("./system/page")) },
  { path: "/settings", title: "common.nav_settings", icon: Cog, role: "admin", page: lazy(() => import("./settings/page")) },
  { path: "/users", title: "common.nav_users", icon: Users, role: "admin", page: lazy(() => import("./users/page")) },
  { path: "/privacy", title: "common.nav_privacy", icon: ShieldCheck, role: "viewer", page: lazy(() => import("./privacy/page")) },
];
