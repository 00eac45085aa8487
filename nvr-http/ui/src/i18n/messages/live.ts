import { words } from "../words";

export const live = words({ title: "Live" }, { title: "Live" }, { title: "Direct" });
