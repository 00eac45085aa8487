import { words } from "../words";

export const settings = words({ title: "x" }, { title: "x" }, { title: "x" });
