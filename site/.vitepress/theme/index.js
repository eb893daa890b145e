/** VitePress's own theme, with the system's fonts. */
export { default } from "vitepress/theme-without-fonts";

import "./style.css";
