import { words } from "../words";

export const privacy = words({ title: "x" }, { title: "x" }, { title: "x" });
