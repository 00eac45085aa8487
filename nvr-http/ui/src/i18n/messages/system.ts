import { words } from "../words";

export const system = words({ title: "x" }, { title: "x" }, { title: "x" });
